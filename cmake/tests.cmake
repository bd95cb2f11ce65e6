# Every tests/<folder>/test_*.c is one executable; the other .c files of its folder are linked to each of them.
# Every tests/<folder>/test_*.sh is a test of the command; it finds the command in $INKSTONE.

pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

function(ink_add_tests folder)
  file(GLOB sources CONFIGURE_DEPENDS tests/${folder}/*.c)
  set(helpers ${sources})
  list(FILTER helpers EXCLUDE REGEX "/test_[^/]*\\.c$")
  list(FILTER sources INCLUDE REGEX "/test_[^/]*\\.c$")
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source} ${helpers})
    target_include_directories(${name} PRIVATE src tests/${folder})
    target_compile_definitions(${name} PRIVATE _POSIX_C_SOURCE=200809L INK_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    target_link_libraries(${name} PRIVATE inkstone ink_options PkgConfig::CMOCKA PkgConfig::INK_DEPS
      Threads::Threads m)
    add_test(NAME ${folder}.${name} COMMAND ${name})
    set_tests_properties(${folder}.${name} PROPERTIES TIMEOUT 900)
  endforeach()
endfunction()

foreach(folder unit kernels api golden fault)
  ink_add_tests(${folder})
endforeach()

file(GLOB scripts CONFIGURE_DEPENDS tests/e2e/test_*.sh tests/structure/test_*.sh)
foreach(script ${scripts})
  get_filename_component(name ${script} NAME_WE)
  get_filename_component(folder ${script} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  add_test(NAME ${folder}.${name} COMMAND sh ${script})
  set_tests_properties(${folder}.${name} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 ENVIRONMENT
    "INKSTONE=$<TARGET_FILE:inkstone_cli>;INK_SOURCE_DIR=${PROJECT_SOURCE_DIR};INK_LIBRARY=$<TARGET_FILE:inkstone>;INK_SANITIZE=${INK_SANITIZE}")
endforeach()

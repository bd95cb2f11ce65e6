# Programs that are made from folders: benchmarks, fuzz targets, tests. In each folder, every file with the
# folder's prefix (bench_, fuzz_, test_) becomes a program, and the other files are linked to each of them.

function(ink_add_program name source helpers)
  add_executable(${name} ${source} ${helpers})
  target_link_libraries(${name} PRIVATE inkstone_internal)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE INK_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
endfunction()

# Sets `programs` and `helpers` to the files of a folder.
macro(ink_split_folder folder prefix)
  file(GLOB programs CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/${prefix}*.c)
  file(GLOB helpers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.c)
  if(programs)
    list(REMOVE_ITEM helpers ${programs})
  endif()
endmacro()

# Examples see only the public header.
function(ink_add_examples)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/examples/*.c)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    add_executable(example_${name} ${source})
    target_link_libraries(example_${name} PRIVATE inkstone ink_compiler)
    set_target_properties(example_${name} PROPERTIES
      OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/examples)
  endforeach()
endfunction()

function(ink_add_benchmarks)
  ink_split_folder(bench bench_)
  foreach(source IN LISTS programs)
    cmake_path(GET source STEM name)
    ink_add_program(${name} ${source} "${helpers}")
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bench)
  endforeach()
endfunction()

function(ink_add_fuzz_targets)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "fuzz targets need clang's libFuzzer; configure with the preset 'fuzz'")
  endif()
  ink_split_folder(tests/fuzz fuzz_)
  foreach(source IN LISTS programs)
    cmake_path(GET source STEM name)
    ink_add_program(${name} ${source} "${helpers}")
    target_compile_options(${name} PRIVATE -Wno-missing-prototypes) # LLVMFuzzerTestOneInput has no header
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/fuzz)
  endforeach()
endfunction()

function(ink_add_tests)
  foreach(folder unit kernels api fault golden)
    ink_split_folder(tests/${folder} test_)
    foreach(source IN LISTS programs)
      cmake_path(GET source STEM name)
      ink_add_program(${name} ${source} "${helpers}")
      target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA)
      set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests/${folder})
      string(REGEX REPLACE "^test_" "" label ${name})
      add_test(NAME ${folder}.${label} COMMAND ${name})
      set_tests_properties(${folder}.${label} PROPERTIES LABELS ${folder} TIMEOUT 1200 SKIP_RETURN_CODE 77)
    endforeach()
  endforeach()
  # The long ones first, so that no processor is idle at the end.
  foreach(name fault.alloc kernels.kernels golden.golden)
    if(TEST ${name})
      set_tests_properties(${name} PROPERTIES COST 1000)
    endif()
  endforeach()
  # Shell tests: the command as a user runs it, and the checks of the tree.
  foreach(folder e2e structure)
    file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/${folder}/test_*.sh)
    foreach(script IN LISTS scripts)
      cmake_path(GET script STEM name)
      string(REGEX REPLACE "^test_" "" label ${name})
      add_test(NAME ${folder}.${label} COMMAND sh ${script})
      set_tests_properties(${folder}.${label} PROPERTIES LABELS ${folder} TIMEOUT 900 SKIP_RETURN_CODE 77
        ENVIRONMENT "INKSTONE=$<TARGET_FILE:inkstone_cli>;INK_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR};\
INK_LIBRARY=$<TARGET_FILE:inkstone>;INK_SANITIZE=${INK_SANITIZE};INK_BUILD_TYPE=$<CONFIG>")
    endforeach()
  endforeach()
endfunction()

# The MLX backend, the one part in C++. It is built if MLX is there: from Homebrew, or from the Python package
# (`pip install mlx`, on Linux `pip install 'mlx[cpu]'`), which carries headers, library and CMake package.
#
#   INK_MLX=AUTO   on Apple machines, if MLX is found: elsewhere MLX runs on the CPU, where ours is faster
#   INK_MLX=ON     wherever it is found; an error if it is not
#   INK_MLX=OFF    not
#   MLX_DIR        folder of MLXConfig.cmake, where neither the system nor `python3` knows it
#
# Sets INK_HAVE_MLX, INK_MLX_LIBRARY (the file), and INK_CXX_RUNTIME: what C programs link besides it.

set(INK_MLX AUTO CACHE STRING "the MLX backend: AUTO, ON or OFF")
set(INK_HAVE_MLX FALSE)

# Sets `result` to the MLX folder of the Python that is first in the path; empty if there is none.
function(ink_find_python_mlx result)
  set(${result} "" PARENT_SCOPE)
  find_program(INK_PYTHON python3)
  mark_as_advanced(INK_PYTHON)
  if(INK_PYTHON)
    execute_process(
      COMMAND ${INK_PYTHON} -c "import importlib.util as u; print(list(u.find_spec('mlx').submodule_search_locations)[0])"
      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed)
      set(${result} ${folder} PARENT_SCOPE)
    endif()
  endif()
endfunction()

# The file of the imported library, and the C++ runtime's name among what the compiler links by itself.
function(ink_describe_mlx)
  get_target_property(configurations mlx IMPORTED_CONFIGURATIONS)
  list(GET configurations 0 configuration)
  get_target_property(file mlx IMPORTED_LOCATION_${configuration})
  set(runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
  list(FILTER runtime INCLUDE REGEX "^(std)?c[+][+]$")
  list(REMOVE_DUPLICATES runtime)
  set(INK_MLX_LIBRARY ${file} PARENT_SCOPE)
  set(INK_CXX_RUNTIME ${runtime} PARENT_SCOPE)
endfunction()

macro(ink_find_mlx)
  include(CheckLanguage)
  check_language(CXX)
  if(CMAKE_CXX_COMPILER)
    ink_find_python_mlx(INK_PYTHON_MLX)
    find_package(MLX CONFIG QUIET HINTS ${INK_PYTHON_MLX}/share/cmake/MLX)
  endif()
  if(MLX_FOUND)
    enable_language(CXX)
    set(INK_HAVE_MLX TRUE)
    ink_describe_mlx()
    # Installed programs find MLX where it was found here: its C++ interface is that of one version.
    cmake_path(GET INK_MLX_LIBRARY PARENT_PATH CMAKE_INSTALL_RPATH)
    message(STATUS "MLX: ${MLX_DIR}")
  elseif(INK_MLX STREQUAL "ON")
    message(FATAL_ERROR "INK_MLX is ON, but MLX or a C++ compiler is missing. Install MLX (pip install mlx; on "
      "Linux pip install 'mlx[cpu]'; brew install mlx) and put its python3 into PATH, or set MLX_DIR.")
  endif()
endmacro()

if(INK_MLX STREQUAL "ON" OR (INK_MLX STREQUAL "AUTO" AND APPLE))
  ink_find_mlx()
endif()

# Adds the backend to the library's objects.
function(ink_add_mlx)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/mlx/*.cpp)
  add_library(ink_mlx OBJECT ${sources})
  # MLX's headers are written in C++20.
  set_target_properties(ink_mlx PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
  target_include_directories(ink_mlx PRIVATE include src)
  target_include_directories(ink_mlx SYSTEM PRIVATE ${MLX_INCLUDE_DIRS})
  target_link_libraries(ink_mlx PRIVATE mlx)
  target_compile_options(ink_mlx PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -ffp-contract=off
    $<$<BOOL:${INK_WERROR}>:-Werror>)
  if(INK_SANITIZE)
    target_compile_options(ink_mlx PRIVATE -fsanitize=${INK_SANITIZE} -fno-sanitize-recover=all)
  endif()
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/backend/backend.c APPEND PROPERTY COMPILE_DEFINITIONS INK_HAVE_MLX)
  target_sources(inkstone PRIVATE $<TARGET_OBJECTS:ink_mlx>)
  if(TARGET inkstone_archive)
    target_sources(inkstone_archive PRIVATE $<TARGET_OBJECTS:ink_mlx>)
  endif()
  # The command and the tests are C programs: they name the C++ runtime themselves.
  target_link_libraries(ink_dependencies INTERFACE mlx ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
endfunction()

# The tests of this backend share the harness of tests/kernels.
function(ink_add_mlx_tests)
  set(tests ${PROJECT_SOURCE_DIR}/tests)
  file(GLOB programs CONFIGURE_DEPENDS ${tests}/mlx/test_*.c)
  file(GLOB helpers CONFIGURE_DEPENDS ${tests}/mlx/*.c ${tests}/kernels/*.c)
  list(FILTER helpers EXCLUDE REGEX "/test_[^/]*$")
  # What asks MLX itself is C++; the tests are C.
  file(GLOB askers CONFIGURE_DEPENDS ${tests}/mlx/*.cpp)
  add_library(ink_mlx_askers OBJECT ${askers})
  set_target_properties(ink_mlx_askers PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)
  target_link_libraries(ink_mlx_askers PRIVATE mlx)
  add_custom_target(mlx_tests)
  foreach(source IN LISTS programs)
    cmake_path(GET source STEM name)
    ink_add_program(${name} ${source} "${helpers}")
    target_include_directories(${name} PRIVATE ${tests}/kernels)
    target_link_libraries(${name} PRIVATE ink_mlx_askers PkgConfig::CMOCKA)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mlx)
    add_dependencies(mlx_tests ${name})
    string(REGEX REPLACE "^test_mlx_" "" label ${name})
    add_test(NAME mlx.${label} COMMAND ${name})
    set_tests_properties(mlx.${label} PROPERTIES LABELS mlx TIMEOUT 900)
  endforeach()
endfunction()

function(ink_add_mlx_benchmark)
  add_executable(bench_mlx_lazy ${PROJECT_SOURCE_DIR}/bench/bench_mlx_lazy.cpp)
  target_link_libraries(bench_mlx_lazy PRIVATE inkstone ink_dependencies)
  target_include_directories(bench_mlx_lazy PRIVATE include src)
  set_target_properties(bench_mlx_lazy PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
endfunction()

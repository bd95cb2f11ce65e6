# The CUDA backend: a plug-in, libinkstone-cuda.so, that the library opens when it is wanted. So the library and
# the command are the same with and without it, and need no NVIDIA driver.
#
#   INK_CUDA=AUTO   if nvcc and the headers of cuBLASLt and cuDNN are found, and no sanitizer is asked for
#   INK_CUDA=ON     an error if they are not
#   INK_CUDA=OFF    not
#   INK_CUDA_ARCHITECTURES   what it is compiled for, as nvcc's -gencode counts: 90a (default: Hopper), 80, ...;
#                            80-virtual is code that the driver compiles for newer devices
#
# Sets INK_HAVE_CUDA. nvcc is looked for in PATH, in CUDACXX, and in /usr/local/cuda.

set(INK_CUDA AUTO CACHE STRING "the CUDA backend: AUTO, ON or OFF")
set(INK_CUDA_ARCHITECTURES 90a CACHE STRING "what CUDA code is compiled for, as nvcc counts")
set(INK_HAVE_CUDA FALSE)

macro(ink_find_cuda)
  # Given to each compilation below, for a list of CMake's would make nvcc compile every file once more.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES OFF)
  endif()
  if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(INK_NVCC nvcc PATHS /usr/local/cuda/bin)
    mark_as_advanced(INK_NVCC)
    if(INK_NVCC)
      set(CMAKE_CUDA_COMPILER ${INK_NVCC})
    endif()
  endif()
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER)
    check_language(CUDA)
  endif()
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit QUIET)
    find_path(INK_CUDNN_INCLUDE cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    mark_as_advanced(INK_CUDNN_INCLUDE)
  endif()
  if(CUDAToolkit_FOUND AND TARGET CUDA::cublasLt AND INK_CUDNN_INCLUDE)
    set(INK_HAVE_CUDA TRUE)
    message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, for ${INK_CUDA_ARCHITECTURES}")
  elseif(INK_CUDA STREQUAL "ON")
    message(FATAL_ERROR "INK_CUDA is ON, but nvcc, cuBLASLt or the headers of cuDNN 9 (cudnn_graph.h) are missing. "
      "Install NVIDIA's CUDA toolkit and cuDNN, and put nvcc into PATH or name it in CUDACXX.")
  endif()
endmacro()

if(INK_CUDA STREQUAL "ON" OR (INK_CUDA STREQUAL "AUTO" AND NOT APPLE AND NOT INK_SANITIZE AND NOT INK_FUZZ))
  ink_find_cuda()
endif()

# Where the library looks for plug-ins, besides its own folder.
set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/backend/plugin.c APPEND PROPERTY COMPILE_DEFINITIONS
  INK_PLUGIN_FOLDER="${CMAKE_INSTALL_FULL_LIBDIR}" INK_PLUGIN_LIBDIR="${CMAKE_INSTALL_LIBDIR}")
if(INK_HAVE_CUDA)
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/backend/backend.c APPEND PROPERTY COMPILE_DEFINITIONS INK_HAVE_CUDA)
endif()

# -gencode arch=compute_90a,code=sm_90a for 90a; ...,code=compute_80 for 80-virtual
function(ink_cuda_architecture_flags result)
  set(flags)
  foreach(architecture IN LISTS INK_CUDA_ARCHITECTURES)
    set(code sm)
    if(architecture MATCHES "-virtual$")
      set(code compute)
      string(REGEX REPLACE "-virtual$" "" architecture ${architecture})
    endif()
    list(APPEND flags "SHELL:-gencode arch=compute_${architecture},code=${code}_${architecture}")
  endforeach()
  set(${result} "${flags}" PARENT_SCOPE)
endfunction()

# How CUDA code is compiled: for the devices that are asked for, and what the plug-in need not export stays in it.
function(ink_compile_cuda target)
  ink_cuda_architecture_flags(architecture)
  set_target_properties(${target} PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_VISIBILITY_PRESET hidden
    CUDA_RUNTIME_LIBRARY Static)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${architecture};-O3>")
endfunction()

# The archive of the library, for the plug-in takes from it what it shares with the library.
macro(ink_cuda_archive result)
  set(${result} inkstone)
  if(BUILD_SHARED_LIBS)
    set(${result} inkstone_archive)
  endif()
endmacro()

function(ink_add_cuda)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cuda/*.c
    ${PROJECT_SOURCE_DIR}/src/backend/cuda/*.cu)
  add_library(ink_cuda_objects STATIC ${sources})
  set_target_properties(ink_cuda_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  ink_compile_cuda(ink_cuda_objects)
  target_include_directories(ink_cuda_objects PRIVATE include src)
  target_include_directories(ink_cuda_objects SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${INK_CUDNN_INCLUDE})
  # What C is compiled with goes to C alone.
  foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS)
    set(value $<TARGET_PROPERTY:ink_compiler,INTERFACE_${property}>)
    if(property STREQUAL COMPILE_OPTIONS)
      target_compile_options(ink_cuda_objects PRIVATE "$<$<COMPILE_LANGUAGE:C>:${value}>")
    else()
      target_compile_definitions(ink_cuda_objects PRIVATE "$<$<COMPILE_LANGUAGE:C>:${value}>")
    endif()
  endforeach()

  ink_cuda_archive(archive)
  add_library(inkstone_cuda MODULE ${PROJECT_SOURCE_DIR}/src/backend/cuda/plugin.c)
  set_target_properties(inkstone_cuda PROPERTIES OUTPUT_NAME inkstone-cuda PREFIX lib SUFFIX .so
    LINKER_LANGUAGE C BUILD_RPATH_USE_ORIGIN ON INSTALL_RPATH "$ORIGIN;${CUDAToolkit_LIBRARY_DIR}")
  target_include_directories(inkstone_cuda PRIVATE include src)
  target_include_directories(inkstone_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(inkstone_cuda PRIVATE ink_compiler ink_cuda_objects $<TARGET_FILE:${archive}>
    CUDA::cudart_static CUDA::cublasLt Threads::Threads m ${CMAKE_DL_LIBS})
  add_dependencies(inkstone_cuda ${archive})
  target_link_options(inkstone_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined -Wl,--gc-sections)
  # Whoever builds the command gets it too.
  add_dependencies(inkstone_cli inkstone_cuda)
  install(TARGETS inkstone_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# Tests and benchmarks of the kernels and of the backend, linked with it directly. They pass over a machine without a
# device.
function(ink_add_cuda_tests)
  set(tests ${PROJECT_SOURCE_DIR}/tests)
  file(GLOB programs CONFIGURE_DEPENDS ${tests}/cuda/test_*.c)
  file(GLOB helpers CONFIGURE_DEPENDS ${tests}/cuda/*.c ${tests}/kernels/*.c)
  list(FILTER helpers EXCLUDE REGEX "/test_[^/]*$")
  if(NOT programs)
    return()
  endif()
  add_library(ink_cuda_test_helpers STATIC ${helpers})
  target_link_libraries(ink_cuda_test_helpers PRIVATE inkstone_internal PkgConfig::CMOCKA)
  target_include_directories(ink_cuda_test_helpers PRIVATE ${tests} ${tests}/kernels)
  target_include_directories(ink_cuda_test_helpers SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${INK_CUDNN_INCLUDE})
  file(GLOB kernels CONFIGURE_DEPENDS ${tests}/cuda/*.cu)
  add_library(ink_cuda_test_kernels STATIC ${kernels})
  ink_compile_cuda(ink_cuda_test_kernels)
  target_include_directories(ink_cuda_test_kernels PRIVATE include src ${tests})
  foreach(source IN LISTS programs)
    cmake_path(GET source STEM name)
    ink_add_program(${name} ${source} "")
    target_include_directories(${name} PRIVATE ${tests}/kernels)
    target_include_directories(${name} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${INK_CUDNN_INCLUDE})
    target_link_libraries(${name} PRIVATE ink_cuda_test_helpers ink_cuda_test_kernels ink_cuda_objects
      inkstone_internal CUDA::cudart_static CUDA::cublasLt PkgConfig::CMOCKA)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/cuda
      LINKER_LANGUAGE C)
    string(REGEX REPLACE "^test_cuda_" "" label ${name})
    add_test(NAME cuda.${label} COMMAND ${name})
    set_tests_properties(cuda.${label} PROPERTIES LABELS cuda TIMEOUT 900 SKIP_RETURN_CODE 77)
  endforeach()
  file(GLOB benchmarks CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/cuda/bench_*.c)
  foreach(source IN LISTS benchmarks)
    cmake_path(GET source STEM name)
    ink_add_program(${name} ${source} ${PROJECT_SOURCE_DIR}/bench/cuda/meter.c)
    target_include_directories(${name} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    target_link_libraries(${name} PRIVATE ink_cuda_objects inkstone_internal CUDA::cudart_static CUDA::cublasLt)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench
      LINKER_LANGUAGE C EXCLUDE_FROM_ALL ON)
  endforeach()
endfunction()

# Everything of the backend but its kernels, on a stand-in for the device: in every build, whatever there is of
# CUDA.
function(ink_add_fake_cuda_tests)
  set(fake ${PROJECT_SOURCE_DIR}/tests/cuda/fake)
  set(backend ${PROJECT_SOURCE_DIR}/src/backend/cuda)
  file(GLOB programs CONFIGURE_DEPENDS ${fake}/test_*.c)
  file(GLOB helpers CONFIGURE_DEPENDS ${fake}/*.c ${PROJECT_SOURCE_DIR}/tests/kernels/*.c)
  list(FILTER helpers EXCLUDE REGEX "/test_[^/]*$")
  add_library(ink_fake_cuda STATIC ${helpers} ${PROJECT_SOURCE_DIR}/tests/cuda/open_model.c
    ${PROJECT_SOURCE_DIR}/tests/cuda/small_step.c ${PROJECT_SOURCE_DIR}/tests/cuda/step_program.c)
  foreach(name analysis attention_cuts backend beside execute fuse joint lanes link lower lower_joint memory profile program quantise run settle stream unite united
      upload weights
      linear_schedule)
    target_sources(ink_fake_cuda PRIVATE ${backend}/${name}.c)
  endforeach()
  target_include_directories(ink_fake_cuda BEFORE PUBLIC ${fake})
  target_include_directories(ink_fake_cuda PUBLIC ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/tests/kernels)
  target_link_libraries(ink_fake_cuda PUBLIC inkstone_internal PkgConfig::CMOCKA)
  foreach(source IN LISTS programs)
    cmake_path(GET source STEM name)
    ink_add_program(${name} ${source} "")
    target_link_libraries(${name} PRIVATE ink_fake_cuda)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/cuda)
    string(REGEX REPLACE "^test_fake_" "" label ${name})
    add_test(NAME cuda.fake_${label} COMMAND ${name})
    set_tests_properties(cuda.fake_${label} PROPERTIES LABELS cuda TIMEOUT 900)
  endforeach()
endfunction()

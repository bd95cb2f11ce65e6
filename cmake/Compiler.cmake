# How everything is compiled: language, warnings, floating point, sanitizers, instruction sets of the kernels.
#
# ink_compiler   flags of all our own code; never of those who use the library
# ink_link       what linking needs besides the dependencies

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug, RelWithDebInfo" FORCE)
endif()

# Most of the library is not worth more than -O2; the kernels ask for more below.
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

if(NOT CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  message(FATAL_ERROR "Inkstone is written for gcc and clang; this compiler is ${CMAKE_C_COMPILER_ID}. "
    "Choose one with CC=gcc or CC=clang in the environment.")
endif()

# Warnings are errors with the compilers that are checked. A compiler that knows other warnings still shows
# them, but must not keep anybody from building a release; INK_WERROR=ON or OFF decides it by hand. Nor are they
# errors with sanitizers, whose code makes gcc see sizes and uninitialised values that are not there.
set(werror OFF)
if(NOT INK_SANITIZE AND "${CMAKE_C_COMPILER_ID}-${CMAKE_C_COMPILER_VERSION}" MATCHES "^(GNU-12|Clang-14)\\.")
  set(werror ${PROJECT_IS_TOP_LEVEL})
endif()
option(INK_WERROR "treat warnings as errors" ${werror})

add_library(ink_link INTERFACE)
add_library(ink_compiler INTERFACE)
target_link_libraries(ink_compiler INTERFACE ink_link)
target_compile_definitions(ink_compiler INTERFACE _POSIX_C_SOURCE=200809L)
target_compile_options(ink_compiler INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wvla -Wcast-qual -Wstrict-prototypes
  $<$<BOOL:${INK_WERROR}>:-Werror>)

if(INK_SANITIZE)
  target_compile_options(ink_compiler INTERFACE
    -fsanitize=${INK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ink_link INTERFACE -fsanitize=${INK_SANITIZE})
endif()
if(INK_FUZZ)
  # The fuzzer must see which branches of the library an input takes.
  target_compile_options(ink_compiler INTERFACE -fsanitize=fuzzer-no-link)
endif()

# The pictures must not depend on what the compiler makes of a * b + c: contraction is off, except in the CPU
# backend, whose kernels say themselves where they fuse. Only there are files compiled for newer processors;
# they are reached after the processor was asked.
function(ink_kernel_flags)
  foreach(source IN LISTS INK_SOURCES)
    if(source MATCHES "/src/backend/cpu/")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -fno-math-errno $<$<CONFIG:Release>:-O3>)
    else()
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -ffp-contract=off)
    endif()
  endforeach()
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
    set(cpu ${CMAKE_CURRENT_SOURCE_DIR}/src/backend/cpu)
    set_property(SOURCE ${cpu}/level_avx2.c APPEND PROPERTY COMPILE_OPTIONS -mavx2 -mfma -mf16c)
    set_property(SOURCE ${cpu}/level_avx512.c APPEND PROPERTY COMPILE_OPTIONS
      -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c)
  endif()
endfunction()

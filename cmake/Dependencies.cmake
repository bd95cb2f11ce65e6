# The libraries Inkstone stands on; docs/dependencies.md says why each. Found through pkg-config, which knows
# them on Linux and in Homebrew alike.
#
# ink_dependencies   everything the library links

find_package(PkgConfig QUIET)
if(NOT PkgConfig_FOUND)
  message(FATAL_ERROR "pkg-config is missing. tools/install_dependencies.sh installs all that is needed, "
    "or install the package pkg-config (Debian, Ubuntu), pkgconf (Fedora, Homebrew).")
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# Homebrew on Apple Silicon is not in pkg-config's own path when pkg-config comes from elsewhere.
if(APPLE AND IS_DIRECTORY /opt/homebrew/lib/pkgconfig)
  list(APPEND CMAKE_PREFIX_PATH /opt/homebrew)
endif()

function(ink_require variable module minimum debian fedora brew)
  pkg_check_modules(${variable} QUIET IMPORTED_TARGET GLOBAL ${module}>=${minimum})
  if(NOT ${variable}_FOUND)
    message(FATAL_ERROR "${module} ${minimum} or newer is missing. tools/install_dependencies.sh installs "
      "all that is needed, or install ${debian} (Debian, Ubuntu), ${fedora} (Fedora), ${brew} (Homebrew).")
  endif()
endfunction()

ink_require(JANSSON jansson 2.12 libjansson-dev jansson-devel jansson)
ink_require(PNG libpng 1.6 libpng-dev libpng-devel libpng)
ink_require(PCRE2 libpcre2-8 10.30 libpcre2-dev pcre2-devel pcre2)
ink_require(UTF8PROC libutf8proc 2.2 libutf8proc-dev utf8proc-devel utf8proc)
set(INK_PKGCONFIG_MODULES "jansson>=2.12 libpng>=1.6 libpcre2-8>=10.30 libutf8proc>=2.2")
set(INK_PKGCONFIG_MODULES_LIST "jansson >= 2.12, libpng >= 1.6, libpcre2-8 >= 10.30, libutf8proc >= 2.2")
if(INK_TESTS)
  ink_require(CMOCKA cmocka 1.1 libcmocka-dev libcmocka-devel cmocka)
endif()

add_library(ink_dependencies INTERFACE)
target_link_libraries(ink_dependencies INTERFACE
  PkgConfig::JANSSON PkgConfig::PNG PkgConfig::PCRE2 PkgConfig::UTF8PROC Threads::Threads m
  ${CMAKE_DL_LIBS})

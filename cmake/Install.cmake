# What `make install` puts where: library, header, command, pkg-config and CMake package files, man pages,
# completions, the model that comes with the project.
include(CMakePackageConfigHelpers)

install(TARGETS inkstone EXPORT inkstone-targets)
install(TARGETS inkstone_cli)
install(FILES include/inkstone.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# CMake: find_package(inkstone), then link inkstone::inkstone.
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/inkstone)
install(EXPORT inkstone-targets NAMESPACE inkstone:: DESTINATION ${package_folder})
configure_package_config_file(cmake/inkstone-config.cmake.in ${PROJECT_BINARY_DIR}/inkstone-config.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/inkstone-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/inkstone-config.cmake ${PROJECT_BINARY_DIR}/inkstone-config-version.cmake
  DESTINATION ${package_folder})

# pkg-config: whoever links the archive needs its libraries too, even without --static, for there is no other.
foreach(library IN LISTS CMAKE_DL_LIBS)
  string(APPEND dl_libs " -l${library}")
endforeach()
if(BUILD_SHARED_LIBS)
  set(INK_PKGCONFIG_REQUIRES "Requires.private: ${INK_PKGCONFIG_MODULES_LIST}")
  set(INK_PKGCONFIG_LIBS "Libs: -L\${libdir} -linkstone\nLibs.private: -pthread -lm${dl_libs}")
else()
  set(INK_PKGCONFIG_REQUIRES "Requires: ${INK_PKGCONFIG_MODULES_LIST}")
  set(INK_PKGCONFIG_LIBS "Libs: -L\${libdir} -linkstone -pthread -lm${dl_libs}")
endif()
file(RELATIVE_PATH INK_PREFIX_FROM_PKGCONFIG /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" INK_PREFIX_FROM_PKGCONFIG "${INK_PREFIX_FROM_PKGCONFIG}")
# libinkstone.a with MLX needs that very MLX, and its C++ runtime.
if(INK_HAVE_MLX AND NOT BUILD_SHARED_LIBS)
  cmake_path(GET INK_MLX_LIBRARY PARENT_PATH folder)
  string(REPLACE " " "\\ " file "${INK_MLX_LIBRARY}")
  string(REPLACE " " "\\ " folder "${folder}")
  string(APPEND INK_PKGCONFIG_LIBS " ${file} -Wl,-rpath,${folder}")
  foreach(library IN LISTS INK_CXX_RUNTIME)
    string(APPEND INK_PKGCONFIG_LIBS " -l${library}")
  endforeach()
endif()
configure_file(cmake/inkstone.pc.in ${PROJECT_BINARY_DIR}/inkstone.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/inkstone.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

file(GLOB man_pages CONFIGURE_DEPENDS docs/man/*.1)
install(FILES ${man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES completions/inkstone.bash RENAME inkstone OPTIONAL
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES completions/_inkstone OPTIONAL DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES completions/inkstone.fish OPTIONAL DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(DIRECTORY models/emoji DESTINATION ${CMAKE_INSTALL_DATADIR}/inkstone/models)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

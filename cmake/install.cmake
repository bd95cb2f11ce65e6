# What `make install` puts where: library, header, command, pkg-config and CMake package files, man pages,
# completions, the model that comes with the project.

include(CMakePackageConfigHelpers)

install(TARGETS inkstone EXPORT inkstoneTargets)
install(TARGETS inkstone_cli RUNTIME)
install(FILES include/inkstone.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT inkstoneTargets NAMESPACE inkstone:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/inkstone)

configure_package_config_file(cmake/inkstoneConfig.cmake.in ${PROJECT_BINARY_DIR}/inkstoneConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/inkstone)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/inkstoneConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/inkstoneConfig.cmake ${PROJECT_BINARY_DIR}/inkstoneConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/inkstone)

configure_file(cmake/inkstone.pc.in ${PROJECT_BINARY_DIR}/inkstone.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/inkstone.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

file(GLOB ink_man_pages ${PROJECT_SOURCE_DIR}/docs/man/*.1)
install(FILES ${ink_man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES completions/inkstone.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME inkstone OPTIONAL)
install(FILES completions/_inkstone DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions OPTIONAL)
install(FILES completions/inkstone.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d OPTIONAL)
install(DIRECTORY models/emoji DESTINATION ${CMAKE_INSTALL_DATADIR}/inkstone/models)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

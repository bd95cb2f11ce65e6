# What `cmake --install` puts where, and how other builds find it.
include(CMakePackageConfigHelpers)

install(TARGETS inkstone EXPORT inkstone-targets)
install(FILES include/inkstone.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET inkstone_command)
  install(TARGETS inkstone_command)
endif()

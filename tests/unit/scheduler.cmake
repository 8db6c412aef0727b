if(TARGET nero_scheduler)
  add_library(test_evolve_run STATIC ${CMAKE_SOURCE_DIR}/tests/support/evolve_run.c)
  target_include_directories(test_evolve_run PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_definitions(test_evolve_run PRIVATE NERO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(test_evolve_run PUBLIC nero_scheduler)
  foreach(stem grammar individual connect fitness select propose)
    nero_test(test_${stem} SOURCES test_${stem}.c LINK test_evolve_run LABEL quick)
  endforeach()
  # Some 10^6 mutants: seconds, but minutes under a sanitizer on a busy machine.
  nero_test(test_mutate SOURCES test_mutate.c LINK test_evolve_run LABEL quick TIMEOUT 300)
  nero_test(test_preset SOURCES test_preset.c ${CMAKE_SOURCE_DIR}/tests/support/temp_folder.c
    LINK test_evolve_run LABEL quick)
endif()

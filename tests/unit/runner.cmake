# A run of one's own, for everything that needs signed records in a bucket.
add_library(test_tiny_run STATIC ${CMAKE_SOURCE_DIR}/tests/support/tiny_run.c
  ${CMAKE_SOURCE_DIR}/tests/support/temp_folder.c)
target_include_directories(test_tiny_run PUBLIC ${CMAKE_SOURCE_DIR})
target_compile_definitions(test_tiny_run PRIVATE NERO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_link_libraries(test_tiny_run PUBLIC nero_queue nero_storage nero_codec nero_base)

add_library(test_backlog_world STATIC ${CMAKE_SOURCE_DIR}/tests/support/backlog_world.c)
target_include_directories(test_backlog_world PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(test_backlog_world PUBLIC test_tiny_run test_queue_support cmocka)
nero_test(test_backlog SOURCES test_backlog.c LINK test_backlog_world LABEL "quick;threads")

nero_test(test_enrol SOURCES test_enrol.c LINK test_tiny_run LABEL quick)
nero_test(test_runner_beat SOURCES test_runner_beat.c LINK nero_runner test_tiny_run
  LABEL "quick;threads")
nero_test(test_runner_upload
  SOURCES test_runner_upload.c ../support/evaluation.c ../support/small_cifar.c ../support/tiny_net.c
  LINK nero_runner test_tiny_run LABEL "quick;threads" TIMEOUT 120)
foreach(stem ckpt data)
  nero_test(test_runner_${stem} SOURCES test_runner_${stem}.c LINK nero_runner test_tiny_run
    LABEL quick)
endforeach()

add_library(test_queue_support STATIC ${CMAKE_SOURCE_DIR}/tests/support/queue_fixture.c
  ${CMAKE_SOURCE_DIR}/tests/support/test_redis.c ${CMAKE_SOURCE_DIR}/tests/support/temp_folder.c)
target_include_directories(test_queue_support PUBLIC ${CMAKE_SOURCE_DIR}/tests/support
  ${CMAKE_SOURCE_DIR}/queue)
target_link_libraries(test_queue_support PUBLIC nero_queue cmocka)

foreach(stem queue_conn queue_lease)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK test_queue_support LABEL quick)
endforeach()
foreach(stem ahead redis_child queue queue_faults)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK test_queue_support LABEL "quick;threads")
endforeach()

add_library(test_chain_world STATIC ${CMAKE_SOURCE_DIR}/tests/support/chain_world.c)
target_link_libraries(test_chain_world PUBLIC nero_queue test_codec_samples cmocka)
foreach(stem trust chain)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK test_chain_world LABEL quick)
endforeach()
foreach(stem chain_races chain_attempt)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK test_chain_world LABEL "quick;threads")
endforeach()

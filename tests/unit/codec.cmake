nero_test(test_graph SOURCES test_graph.c LINK nero_codec LABEL quick)

add_library(test_codec_samples STATIC ${CMAKE_SOURCE_DIR}/tests/support/codec_samples.c)
target_include_directories(test_codec_samples PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(test_codec_samples PUBLIC nero_codec)
nero_test(test_codec SOURCES test_codec.c LINK test_codec_samples LABEL quick)

nero_test(test_graph SOURCES test_graph.c LINK nero_codec LABEL quick)

add_library(test_codec_samples STATIC ${CMAKE_SOURCE_DIR}/tests/support/codec_samples.c)
target_include_directories(test_codec_samples PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(test_codec_samples PUBLIC nero_codec)
foreach(stem codec record phenotype job slot envelope keys layout genotype safetensors run)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK test_codec_samples LABEL quick)
endforeach()
nero_test(test_show SOURCES test_show.c LINK test_codec_samples PkgConfig::JANSSON LABEL quick)

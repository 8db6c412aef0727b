nero_test(test_graph SOURCES test_graph.c LINK nero_codec LABEL quick)

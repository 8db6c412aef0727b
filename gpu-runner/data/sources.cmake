target_sources(nero_engine PRIVATE ${CMAKE_CURRENT_LIST_DIR}/dataset.c)

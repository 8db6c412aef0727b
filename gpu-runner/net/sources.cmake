foreach(stem net net_check net_fold net_init net_lower net_memory net_shards)
  target_sources(nero_engine PRIVATE ${CMAKE_CURRENT_LIST_DIR}/${stem}.c)
endforeach()

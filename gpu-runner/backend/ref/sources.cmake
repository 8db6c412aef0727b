foreach(stem ref ref_conv ref_loss ref_norm ref_pool ref_update)
  target_sources(nero_engine PRIVATE ${CMAKE_CURRENT_LIST_DIR}/${stem}.c)
endforeach()

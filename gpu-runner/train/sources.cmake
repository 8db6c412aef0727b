foreach(stem optimiser train_eval train_meta train_schedule train_snapshot train_state trainer)
  target_sources(nero_engine PRIVATE ${CMAKE_CURRENT_LIST_DIR}/${stem}.c)
endforeach()

foreach(stem attack attack_fgsm attack_loss attack_pgd)
  target_sources(nero_engine PRIVATE ${CMAKE_CURRENT_LIST_DIR}/${stem}.c)
endforeach()

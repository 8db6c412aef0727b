foreach(stem bytes clock conf err hash log mem options rng thread)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK nero_base LABEL quick)
endforeach()

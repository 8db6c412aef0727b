foreach(stem options rng)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK nero_base LABEL quick)
endforeach()

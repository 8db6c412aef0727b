foreach(stem bytes clock conf err hash interval mem options rng)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK nero_base LABEL quick)
endforeach()
foreach(stem log thread thread_team)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK nero_base LABEL "quick;threads")
endforeach()
nero_test(test_spot_trace SOURCES test_spot_trace.c ../support/spot_trace.c LINK nero_base
  LABEL quick)

foreach(stem storage storage_content storage_fault storage_retry)
  nero_test(test_${stem} SOURCES test_${stem}.c LINK nero_storage LABEL quick)
endforeach()
foreach(stem libs3_request s3_config s3_credentials s3_header s3_sign s3_xml)
  nero_test(test_${stem} SOURCES test_${stem}.c ../support/temp_folder.c LINK nero_storage LABEL quick
    INCLUDE ${CMAKE_SOURCE_DIR}/storage)
endforeach()
set_tests_properties(test_s3_credentials PROPERTIES LABELS "quick;threads")
# The system calls of the folder store go through the test, which makes them fail.
foreach(call openat fstat fstatat pread write fsync close linkat renameat unlinkat mkdirat flock
    nanosleep clock_gettime)
  list(APPEND storage_wraps "-Wl,--wrap=${call}")
endforeach()
nero_test(test_storage_dir SOURCES test_storage_dir.c ../support/temp_folder.c
  LINK nero_storage ${storage_wraps} LABEL quick)

# How a folder of the project is built: one static library each, all with the same warnings.

add_library(nero_flags INTERFACE)
target_compile_definitions(nero_flags INTERFACE _GNU_SOURCE NERO_RELEASE="${PROJECT_VERSION}")
# -ffp-contract=off: the search and the random numbers give the same bits on every machine.
target_compile_options(nero_flags INTERFACE
  -ffp-contract=off -fno-strict-aliasing
  -Wall -Wextra -Wshadow -Wconversion -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes
  -Wundef -Wvla -Wformat=2)
if(NERO_WERROR)
  target_compile_options(nero_flags INTERFACE -Werror)
endif()
if(NERO_SANITIZE)
  # gcc sees less through instrumented code and warns of what cannot be; the dev build warns of all.
  target_compile_options(nero_flags INTERFACE -Wno-format-truncation -Wno-maybe-uninitialized)
  list(JOIN NERO_SANITIZE "," sanitizers)
  target_compile_options(nero_flags INTERFACE
    -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(nero_flags INTERFACE -fsanitize=${sanitizers})
endif()

# nero_library(NAME SOURCES a.c ... LINK targets ...): static library nero_NAME with the public
# headers of ./include and the private ones beside the sources.
function(nero_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(nero_${name} STATIC ${ARG_SOURCES})
  target_include_directories(nero_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(nero_${name} PUBLIC nero_flags ${ARG_LINK})
endfunction()

# nero_test(NAME SOURCES a.c ... LINK targets ... LABEL quick|integration|full [TIMEOUT s]
#           [INCLUDE dirs ...]): a cmocka program that is also a ctest. Exit 77 is a skip. LABEL may be
#           a list: "quick;threads" also runs under the thread sanitizer, "integration;memory" also
#           under the address sanitizer, as all that is quick does.
function(nero_test name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "LABEL;TIMEOUT" "SOURCES;LINK;INCLUDE")
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR} ${ARG_INCLUDE})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} nero_flags cmocka)
  target_compile_definitions(${name} PRIVATE NERO_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    NERO_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT}
    SKIP_RETURN_CODE 77)
endfunction()

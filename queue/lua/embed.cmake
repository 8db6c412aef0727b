# cmake -DOUT=queue_lua.c -DFOLDER=queue/lua -DNAMES="clock,prelude,..." -P embed.cmake
# Turns each <name>.lua into `const char queue_lua_<name>[]`, so that nothing is read at run time.
string(REPLACE "," ";" names "${NAMES}")
set(text "/* Made by queue/lua/embed.cmake of queue/lua/. */\n#include \"queue_script.h\"\n")
foreach(name IN LISTS names)
  file(READ "${FOLDER}/${name}.lua" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n    "
         bytes "${bytes}")
  string(APPEND text "\nconst char queue_lua_${name}[] = {\n    ${bytes}0x00};\n")
endforeach()
file(WRITE "${OUT}" "${text}")

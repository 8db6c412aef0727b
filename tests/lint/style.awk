# Measures a C, CUDA or Lua file: lines, their length, the length of functions, banned calls, marks of
# unfinished work. Prints FILE:LINE: what is wrong.
function report(line, what) { printf "%s:%d: %s\n", FILENAME, line, what }

FNR == 1 { depth = 0; in_comment = 0; previous = "" }

length($0) > 100 { report(FNR, "line of " length($0) " characters (100 are allowed)") }
FNR == 801 { report(FNR, "file of more than 800 lines") }
/\t/ { report(FNR, "tab") }
/[ ]$/ { report(FNR, "space at the end of the line") }
/TODO|FIXME|(^|[^X])XXX([^X]|$)/ { report(FNR, "mark of unfinished work") }

{
    line = $0
    # Strings and comments do not count as code.
    gsub(/\\./, "", line)
    gsub(/"[^"]*"/, "\"\"", line)
    gsub(/'[^']*'/, "''", line)
    if (in_comment) {
        if (!sub(/.*\*\//, "", line)) {
            next
        }
        in_comment = 0
    }
    gsub(/\/\*[^*]*\*+([^\/*][^*]*\*+)*\//, "", line)
    if (sub(/\/\*.*/, "", line)) {
        in_comment = 1
    }
    sub(/\/\/.*/, "", line)
    if (FILENAME ~ /\.(c|h|cu|cuh|inc)$/) {
        if (line ~ /(^|[^A-Za-z0-9_])(atoi|atol|sprintf|vsprintf|strcpy|strcat|strtok|gets)[ ]*\(/) {
            report(FNR, "banned function: " $0)
        }
        if (line ~ /(^|[^A-Za-z0-9_>.])(time|gettimeofday)[ ]*\(/ && FILENAME !~ /base\/clock\.c$/) {
            report(FNR, "raw time: " $0)
        }
        if (line ~ /^typedef struct/) {
            report(FNR, "typedef of a struct")
        }
    }
    if (FILENAME ~ /\.(c|cu|inc)$/) {
        opened = gsub(/\{/, "{", line)
        closed = gsub(/\}/, "}", line)
        if (depth == 0 && opened > 0) {
            start = FNR
            is_function = (line ~ /^\{/ && previous ~ /[);]/) || line ~ /^[a-z].*\)[ ]*\{/
        }
        depth += opened - closed
        if (depth == 0 && closed > 0 && is_function && FNR - start - 1 > 70) {
            report(start, "function of " FNR - start - 1 " lines (70 are allowed)")
        }
        if (line ~ /[^ ]/) {
            previous = line
        }
    }
}

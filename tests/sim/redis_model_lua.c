/*
 * Scripts as Redis runs them: Lua 5.1, the text a function's body, KEYS and ARGV global, nothing
 * else may become global, redis.call the only way out. Conversions of values as in Redis's
 * documentation ("Lua API reference"): a nil reply is false, a table ends at its first nil, numbers
 * lose their fraction.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <nettle/sha1.h>

#include "redis_model_impl.h"

enum { SHA_BYTES = 41, CALL_ARGS_MAX = 64, NUMBER_BYTES = 40 };

struct redis_model_scripts {
    lua_State *lua;
};

static void sha_of(struct redis_model_text text, char out[SHA_BYTES])
{
    struct sha1_ctx hash;
    uint8_t digest[SHA1_DIGEST_SIZE];

    sha1_init(&hash);
    sha1_update(&hash, text.bytes, (const uint8_t *)text.data);
    sha1_digest(&hash, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

/* ---- Redis to Lua ---- */

static void push_reply(lua_State *lua, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        lua_pushnumber(lua, (lua_Number)reply->integer);
        break;
    case REDIS_REPLY_STRING:
        lua_pushlstring(lua, reply->str, (size_t)reply->len);
        break;
    case REDIS_REPLY_STATUS:
        lua_newtable(lua);
        lua_pushlstring(lua, reply->str, (size_t)reply->len);
        lua_setfield(lua, -2, "ok");
        break;
    case REDIS_REPLY_ARRAY:
        lua_createtable(lua, (int)reply->elements, 0);
        for (size_t i = 0; i < reply->elements; i++) {
            push_reply(lua, reply->element[i]);
            lua_rawseti(lua, -2, (int)i + 1);
        }
        break;
    default:
        lua_pushboolean(lua, 0);
        break;
    }
}

/* redis.call(...): an error reply raises. No Lua error is raised while memory is held. */
static int call(lua_State *lua)
{
    struct redis_model *model = lua_touserdata(lua, lua_upvalueindex(1));
    const char *argv[CALL_ARGS_MAX];
    size_t bytes[CALL_ARGS_MAX];
    char numbers[CALL_ARGS_MAX][NUMBER_BYTES];
    int count = lua_gettop(lua);
    redisReply *reply;

    if (count == 0 || count > CALL_ARGS_MAX) {
        return luaL_error(lua, "redis.call with %d arguments", count);
    }
    for (int i = 0; i < count; i++) {
        if (lua_type(lua, i + 1) == LUA_TNUMBER) {
            bytes[i] =
                (size_t)snprintf(numbers[i], NUMBER_BYTES, "%.17g", lua_tonumber(lua, i + 1));
            argv[i] = numbers[i];
        } else if (lua_type(lua, i + 1) == LUA_TSTRING) {
            argv[i] = lua_tolstring(lua, i + 1, &bytes[i]);
        } else {
            return luaL_error(lua, "Lua redis lib command arguments must be strings or integers");
        }
    }
    reply = redis_model_command(model, count, argv, bytes);
    push_reply(lua, reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        lua_newtable(lua);
        lua_pushstring(lua, reply->str);
        lua_setfield(lua, -2, "err");
        freeReplyObject(reply);
        return lua_error(lua);
    }
    freeReplyObject(reply);
    return 1;
}

/* ---- Lua to Redis ---- */

static redisReply *take_reply(lua_State *lua);

static redisReply *take_table(lua_State *lua)
{
    redisReply *reply;
    size_t count = 0;

    lua_getfield(lua, -1, "err");
    if (lua_isstring(lua, -1)) {
        reply = redis_model_reply_line(REDIS_REPLY_ERROR, lua_tostring(lua, -1));
        lua_pop(lua, 1);
        return reply;
    }
    lua_pop(lua, 1);
    lua_getfield(lua, -1, "ok");
    if (lua_isstring(lua, -1)) {
        reply = redis_model_reply_line(REDIS_REPLY_STATUS, lua_tostring(lua, -1));
        lua_pop(lua, 1);
        return reply;
    }
    lua_pop(lua, 1);
    for (;; count++) {
        bool last;

        lua_rawgeti(lua, -1, (int)count + 1);
        last = lua_isnil(lua, -1);
        lua_pop(lua, 1);
        if (last) {
            break;
        }
    }
    reply = redis_model_reply_array(count);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(lua, -1, (int)i + 1);
        reply->element[i] = take_reply(lua);
        lua_pop(lua, 1);
    }
    return reply;
}

/* The value on top, left there. */
static redisReply *take_reply(lua_State *lua)
{
    size_t bytes;
    const char *text;

    switch (lua_type(lua, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(lua, -1, &bytes);
        return redis_model_reply_text(text, bytes);
    case LUA_TNUMBER:
        return redis_model_reply_integer((long long)lua_tonumber(lua, -1));
    case LUA_TBOOLEAN:
        return lua_toboolean(lua, -1) ? redis_model_reply_integer(1) : redis_model_reply_nil();
    case LUA_TTABLE:
        return take_table(lua);
    default:
        return redis_model_reply_nil();
    }
}

/* ---- scripts ---- */

static int no_global(lua_State *lua)
{
    return luaL_error(lua, "Script attempted to access nonexistent global variable");
}

static void push_list(lua_State *lua, const char *name, const struct redis_model_args *args,
                      int first, int count)
{
    lua_createtable(lua, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushlstring(lua, args->text[first + i], args->bytes[first + i]);
        lua_rawseti(lua, -2, i + 1);
    }
    lua_pushstring(lua, name);
    lua_insert(lua, -2);
    lua_rawset(lua, LUA_GLOBALSINDEX);
}

/* The function is on top of the stack and taken from it. args: ..., number of keys, keys, argv. */
static redisReply *run(struct redis_model *model, const struct redis_model_args *args)
{
    lua_State *lua = model->scripts->lua;
    long long keys;
    redisReply *reply;

    if (!redis_model_integer(redis_model_arg(args, 2), &keys) || keys < 0 ||
        keys > args->count - 3) {
        lua_pop(lua, 1);
        return redis_model_reply_line(REDIS_REPLY_ERROR, "ERR value is not an integer");
    }
    push_list(lua, "KEYS", args, 3, (int)keys);
    push_list(lua, "ARGV", args, 3 + (int)keys, args->count - 3 - (int)keys);
    if (lua_pcall(lua, 0, 1, 0) != 0 && !lua_istable(lua, -1)) { /* a fault of the script */
        char line[256];

        (void)snprintf(line, sizeof line, "ERR %.240s", lua_tostring(lua, -1));
        reply = redis_model_reply_line(REDIS_REPLY_ERROR, line);
    } else { /* what it returns, or the error of a command */
        reply = take_reply(lua);
    }
    lua_pop(lua, 1);
    return reply;
}

/* Compile and keep under its SHA-1; the function is on top of the stack. NULL, or the error. */
static redisReply *compile(struct redis_model *model, struct redis_model_text text,
                           char sha[SHA_BYTES])
{
    lua_State *lua = model->scripts->lua;
    redisReply *reply;

    sha_of(text, sha);
    if (luaL_loadbuffer(lua, text.data, text.bytes, "@user_script") != 0) {
        char line[256];

        (void)snprintf(line, sizeof line, "ERR Error compiling script: %.200s",
                       lua_tostring(lua, -1));
        reply = redis_model_reply_line(REDIS_REPLY_ERROR, line);
        lua_pop(lua, 1);
        return reply;
    }
    lua_pushvalue(lua, -1);
    lua_setfield(lua, LUA_REGISTRYINDEX, sha);
    return NULL;
}

redisReply *redis_model_script_load(struct redis_model *model, const struct redis_model_args *args)
{
    char sha[SHA_BYTES];
    redisReply *reply = compile(model, redis_model_arg(args, 2), sha);

    if (reply == NULL) {
        lua_pop(model->scripts->lua, 1);
        reply = redis_model_reply_text(sha, SHA_BYTES - 1);
    }
    return reply;
}

redisReply *redis_model_evalsha(struct redis_model *model, const struct redis_model_args *args)
{
    lua_State *lua = model->scripts->lua;
    char sha[SHA_BYTES];

    (void)snprintf(sha, sizeof sha, "%.40s", args->text[1]);
    lua_getfield(lua, LUA_REGISTRYINDEX, sha);
    if (!lua_isfunction(lua, -1)) {
        lua_pop(lua, 1);
        return redis_model_reply_line(REDIS_REPLY_ERROR,
                                      "NOSCRIPT No matching script. Please use EVAL.");
    }
    return run(model, args);
}

redisReply *redis_model_eval(struct redis_model *model, const struct redis_model_args *args)
{
    char sha[SHA_BYTES];
    redisReply *reply = compile(model, redis_model_arg(args, 1), sha);

    return reply != NULL ? reply : run(model, args);
}

struct redis_model_scripts *redis_model_scripts_create(struct redis_model *model)
{
    static const luaL_Reg libraries[] = {{"", luaopen_base},
                                         {LUA_TABLIBNAME, luaopen_table},
                                         {LUA_STRLIBNAME, luaopen_string},
                                         {LUA_MATHLIBNAME, luaopen_math}};
    struct redis_model_scripts *scripts = calloc(1, sizeof *scripts);
    lua_State *lua = luaL_newstate();

    if (scripts == NULL || lua == NULL) {
        abort();
    }
    scripts->lua = lua;
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        lua_pushcfunction(lua, libraries[i].func);
        lua_pushstring(lua, libraries[i].name);
        lua_call(lua, 1, 0);
    }
    lua_newtable(lua);
    lua_pushlightuserdata(lua, model);
    lua_pushcclosure(lua, call, 1);
    lua_setfield(lua, -2, "call");
    lua_setglobal(lua, "redis");
    lua_newtable(lua);
    lua_pushcfunction(lua, no_global);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, no_global);
    lua_setfield(lua, -2, "__newindex");
    lua_pushvalue(lua, LUA_GLOBALSINDEX);
    lua_insert(lua, -2);
    (void)lua_setmetatable(lua, -2);
    lua_pop(lua, 1);
    return scripts;
}

void redis_model_scripts_destroy(struct redis_model_scripts *scripts)
{
    lua_close(scripts->lua);
    free(scripts);
}

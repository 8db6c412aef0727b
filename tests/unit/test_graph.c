/*
 * Goal: a phenotype becomes the network that the specification describes, node by node, and costs
 * what the specification says. Method: golden graphs in a one-line-a-node text, and the published
 * counts of the NSGA-Net seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/graph.h"
#include "nero/mem.h"

enum { UNITS_MAX = 32, TEXT_BYTES = 8192 };

/* A phenotype whose units live in the test's frame. */
struct net {
    struct phenotype phenotype;
    struct phenotype_unit units[UNITS_MAX];
};

static void net_begin(struct net *net, uint32_t c, uint32_t h, uint32_t w)
{
    memset(net, 0, sizeof(*net));
    net->phenotype.channels = c;
    net->phenotype.height = h;
    net->phenotype.width = w;
    net->phenotype.classes = 10;
    net->phenotype.units = net->units;
}

/* `inputs` ends with -2. */
static struct phenotype_unit *add_unit(struct net *net, enum phenotype_unit_kind kind,
                                       const int32_t *inputs)
{
    struct phenotype_unit *unit = &net->units[net->phenotype.unit_count++];

    assert_true(net->phenotype.unit_count <= UNITS_MAX);
    unit->kind = kind;
    while (*inputs != -2) {
        unit->inputs[unit->input_count++] = *inputs++;
    }
    return unit;
}

#define FROM(...) ((const int32_t[]){__VA_ARGS__, -2})

static struct phenotype_unit *add_conv(struct net *net, uint32_t filters, uint32_t kernel,
                                       uint32_t stride, enum phenotype_padding padding,
                                       const int32_t *inputs)
{
    struct phenotype_unit *unit = add_unit(net, PHENOTYPE_CONV, inputs);

    unit->conv.filters = filters;
    unit->conv.kernel = kernel;
    unit->conv.stride = stride;
    unit->conv.padding = padding;
    return unit;
}

static void add_fc(struct net *net, uint32_t units, const int32_t *inputs)
{
    struct phenotype_unit *unit = add_unit(net, PHENOTYPE_FC, inputs);

    unit->fc_units = units;
    unit->fc_bias = true;
}

/* "3 max_pool 8x15x15 k2x2 s2 p0,0,0,0 u1 <2", a line a node. */
static void print_graph(const struct graph *graph, char out[TEXT_BYTES])
{
    size_t used = 0;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct graph_node *node = &graph->nodes[i];

        used +=
            (size_t)snprintf(out + used, TEXT_BYTES - used, "%u %s %ux%ux%u", i,
                             graph_op_name(node->op), node->shape.c, node->shape.h, node->shape.w);
        if (node->kernel_h > 0) {
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, " k%ux%u s%u p%u,%u,%u,%u",
                                     node->kernel_h, node->kernel_w, node->stride, node->pad_top,
                                     node->pad_left, node->pad_bottom, node->pad_right);
        }
        used += (size_t)snprintf(out + used, TEXT_BYTES - used, " u%d", node->unit);
        for (uint32_t k = 0; k < node->input_count; k++) {
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, " <%u", node->inputs[k]);
        }
        used += (size_t)snprintf(out + used, TEXT_BYTES - used, "\n");
        assert_true(used < TEXT_BYTES);
    }
}

static void check_graph(const struct net *net, const char *expected)
{
    struct nero_err err;
    struct graph graph;
    char text[TEXT_BYTES];

    assert_int_equal(graph_build(&net->phenotype, &graph, &err), NERO_OK);
    print_graph(&graph, text);
    assert_string_equal(text, expected);
    graph_fini(&graph);
}

/* Unit 0 does not fit: it is the image, and unit 1 reads that. */
static void test_graph__invalid_first_unit_is_the_image(void **state)
{
    struct net net;

    (void)state;
    net_begin(&net, 3, 4, 4);
    add_conv(&net, 8, 5, 1, PHENOTYPE_VALID, FROM(-1));
    add_conv(&net, 2, 3, 1, PHENOTYPE_SAME, FROM(0));
    add_fc(&net, 10, FROM(1));
    check_graph(&net, "0 input 3x4x4 u-1\n"
                      "1 conv 2x4x4 k3x3 s1 p1,1,1,1 u1 <0\n"
                      "2 fc 10x1x1 u2 <1\n");
}

/* Unit 1 does not fit (its pooling): as a sole input it is unit 0, from a merge it is dropped. */
static void test_graph__invalid_middle_unit_is_its_predecessor(void **state)
{
    struct net net;
    struct phenotype_unit *pool;

    (void)state;
    net_begin(&net, 3, 6, 6);
    add_conv(&net, 4, 3, 1, PHENOTYPE_VALID, FROM(-1));
    pool = add_conv(&net, 8, 1, 1, PHENOTYPE_VALID, FROM(0));
    pool->kind = PHENOTYPE_POOL;
    pool->pool.kernel = 5;
    pool->pool.stride = 2;
    add_conv(&net, 5, 1, 1, PHENOTYPE_VALID, FROM(1));
    add_conv(&net, 6, 1, 1, PHENOTYPE_VALID, FROM(0, 1, 2));
    add_fc(&net, 10, FROM(3));
    check_graph(&net, "0 input 3x6x6 u-1\n"
                      "1 conv 4x4x4 k3x3 s1 p0,0,0,0 u0 <0\n"
                      "2 conv 5x4x4 k1x1 s1 p0,0,0,0 u2 <1\n"
                      "3 concat 9x4x4 u3 <1 <2\n"
                      "4 conv 6x4x4 k1x1 s1 p0,0,0,0 u3 <3\n"
                      "5 fc 10x1x1 u4 <4\n");
}

/* The last unit before the classifier does not fit, and neither does the one before it. */
static void test_graph__invalid_last_units_follow_the_chain(void **state)
{
    struct net net;

    (void)state;
    net_begin(&net, 1, 3, 3);
    add_conv(&net, 2, 2, 1, PHENOTYPE_VALID, FROM(-1));
    add_conv(&net, 4, 3, 1, PHENOTYPE_VALID, FROM(0));
    add_conv(&net, 4, 4, 1, PHENOTYPE_VALID, FROM(1));
    add_fc(&net, 10, FROM(2));
    check_graph(&net, "0 input 1x3x3 u-1\n"
                      "1 conv 2x2x2 k2x2 s1 p0,0,0,0 u0 <0\n"
                      "2 fc 10x1x1 u3 <1\n");
}

/* A merge whose inputs are all aliases reads i-1; a merge left with one input reads it as it is. */
static void test_graph__merge_of_aliases_reads_predecessor(void **state)
{
    struct net net;
    struct nero_err err;
    struct graph graph;

    (void)state;
    net_begin(&net, 2, 3, 3);
    add_conv(&net, 4, 4, 1, PHENOTYPE_VALID, FROM(-1));
    add_conv(&net, 4, 5, 1, PHENOTYPE_VALID, FROM(0));
    add_conv(&net, 3, 1, 1, PHENOTYPE_VALID, FROM(-1));
    add_conv(&net, 5, 2, 1, PHENOTYPE_VALID, FROM(0, 1));
    add_fc(&net, 10, FROM(0, 3));
    check_graph(&net, "0 input 2x3x3 u-1\n"
                      "1 conv 3x3x3 k1x1 s1 p0,0,0,0 u2 <0\n"
                      "2 conv 5x2x2 k2x2 s1 p0,0,0,0 u3 <1\n"
                      "3 fc 10x1x1 u4 <2\n");
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_OK);
    assert_true(graph.unit_aliased[0] && graph.unit_aliased[1] && !graph.unit_aliased[2]);
    assert_true(!graph.unit_live[0] && graph.unit_live[2] && graph.unit_live[4]);
    graph_fini(&graph);
}

/* 30, 15 and 7 meet at 7: alignment pooling of 24 and 9, rows then columns. */
static void test_graph__merge_over_two_transitions(void **state)
{
    struct net net;

    (void)state;
    net_begin(&net, 3, 32, 32);
    add_conv(&net, 4, 3, 1, PHENOTYPE_VALID, FROM(-1));
    for (int32_t i = 0; i < 2; i++) {
        struct phenotype_unit *unit = add_conv(&net, 4, 1, 1, PHENOTYPE_VALID, FROM(i));

        unit->kind = PHENOTYPE_POOL;
        unit->pool.pooling = i == 0 ? PHENOTYPE_MAX_POOL : PHENOTYPE_AVG_POOL;
        unit->pool.kernel = 2;
        unit->pool.stride = 2;
    }
    add_conv(&net, 2, 1, 1, PHENOTYPE_VALID, FROM(0, 1, 2));
    add_fc(&net, 10, FROM(3));
    check_graph(&net, "0 input 3x32x32 u-1\n"
                      "1 conv 4x30x30 k3x3 s1 p0,0,0,0 u0 <0\n"
                      "2 conv 4x30x30 k1x1 s1 p0,0,0,0 u1 <1\n"
                      "3 max_pool 4x15x15 k2x2 s2 p0,0,0,0 u1 <2\n"
                      "4 conv 4x15x15 k1x1 s1 p0,0,0,0 u2 <3\n"
                      "5 avg_pool 4x7x7 k2x2 s2 p0,0,0,0 u2 <4\n"
                      "6 max_pool 4x7x30 k24x1 s1 p0,0,0,0 u3 <1\n"
                      "7 max_pool 4x7x7 k1x24 s1 p0,0,0,0 u3 <6\n"
                      "8 max_pool 4x7x15 k9x1 s1 p0,0,0,0 u3 <3\n"
                      "9 max_pool 4x7x7 k1x9 s1 p0,0,0,0 u3 <8\n"
                      "10 concat 12x7x7 u3 <7 <9 <5\n"
                      "11 conv 2x7x7 k1x1 s1 p0,0,0,0 u3 <10\n"
                      "12 fc 10x1x1 u4 <11\n");
}

/* SAME: floor((k-1)/2) before, ceil(in/stride) out; VALID floor; even kernels; unequal axes. */
static void test_graph__same_valid_stride_shapes(void **state)
{
    struct net net;

    (void)state;
    net_begin(&net, 3, 32, 17);
    add_conv(&net, 1, 3, 2, PHENOTYPE_SAME, FROM(-1));
    add_conv(&net, 1, 4, 1, PHENOTYPE_SAME, FROM(0));
    add_conv(&net, 1, 5, 3, PHENOTYPE_SAME, FROM(1));
    add_conv(&net, 1, 2, 3, PHENOTYPE_VALID, FROM(2));
    add_conv(&net, 1, 5, 1, PHENOTYPE_SAME, FROM(3));
    add_fc(&net, 10, FROM(4));
    check_graph(&net, "0 input 3x32x17 u-1\n"
                      "1 conv 1x16x9 k3x3 s2 p1,1,0,1 u0 <0\n"
                      "2 conv 1x16x9 k4x4 s1 p1,1,2,2 u1 <1\n"
                      "3 conv 1x6x3 k5x5 s3 p2,2,2,0 u2 <2\n"
                      "4 conv 1x2x1 k2x2 s3 p0,0,0,0 u3 <3\n"
                      "5 conv 1x2x1 k5x5 s1 p2,2,2,2 u4 <4\n"
                      "6 fc 10x1x1 u5 <5\n");
}

/* Where activation and batch norm stand; the leading 1x1 block has both too. */
static void test_graph__block_order(void **state)
{
    struct net net;
    struct phenotype_unit *unit;

    (void)state;
    net_begin(&net, 3, 5, 5);
    unit = add_conv(&net, 2, 3, 1, PHENOTYPE_SAME, FROM(-1));
    unit->conv.filters_mult = 4;
    unit->conv.activation = PHENOTYPE_RELU;
    unit->conv.act_position = PHENOTYPE_PRE_CONV;
    unit->conv.bn = PHENOTYPE_BN_PRE;
    unit = add_conv(&net, 3, 1, 1, PHENOTYPE_SAME, FROM(0));
    unit->conv.activation = PHENOTYPE_SILU;
    unit->conv.bn = PHENOTYPE_BN_MID;
    unit = add_conv(&net, 4, 1, 1, PHENOTYPE_SAME, FROM(1));
    unit->conv.activation = PHENOTYPE_RELU;
    unit->conv.bn = PHENOTYPE_BN_POST;
    add_fc(&net, 10, FROM(2));
    check_graph(&net, "0 input 3x5x5 u-1\n"
                      "1 batch_norm 3x5x5 u0 <0\n"
                      "2 relu 3x5x5 u0 <1\n"
                      "3 conv 8x5x5 k1x1 s1 p0,0,0,0 u0 <2\n"
                      "4 batch_norm 8x5x5 u0 <3\n"
                      "5 relu 8x5x5 u0 <4\n"
                      "6 conv 2x5x5 k3x3 s1 p1,1,1,1 u0 <5\n"
                      "7 conv 3x5x5 k1x1 s1 p0,0,0,0 u1 <6\n"
                      "8 batch_norm 3x5x5 u1 <7\n"
                      "9 silu 3x5x5 u1 <8\n"
                      "10 conv 4x5x5 k1x1 s1 p0,0,0,0 u2 <9\n"
                      "11 relu 4x5x5 u2 <10\n"
                      "12 batch_norm 4x5x5 u2 <11\n"
                      "13 fc 10x1x1 u3 <12\n");
}

/* An FC flattens; parameters lie in node order, statistics apart; names are stable. */
static void test_graph__parameter_table(void **state)
{
    struct net net;
    struct nero_err err;
    struct graph graph;
    struct phenotype_unit *unit;
    char name[GRAPH_NAME_BYTES];

    (void)state;
    net_begin(&net, 3, 4, 5);
    unit = add_conv(&net, 2, 3, 1, PHENOTYPE_SAME, FROM(-1));
    unit->conv.bias = true;
    unit->conv.bn = PHENOTYPE_BN_MID;
    add_fc(&net, 10, FROM(0));
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_OK);
    assert_int_equal(graph.param_count, 8);
    assert_int_equal(graph.trained_count, 2 * 27 + 2 + 4 + 10 * 40 + 10);
    assert_int_equal(graph.stat_count, 4);
    assert_int_equal(graph.macs, 20 * 2 * 27 + 400);
    assert_int_equal(graph.params[2].kind, GRAPH_GAMMA);
    assert_int_equal(graph.params[2].offset, 56);
    assert_int_equal(graph.params[5].kind, GRAPH_VAR);
    assert_int_equal(graph.params[5].offset, 2);
    assert_int_equal(graph.params[6].rank, 2);
    assert_int_equal(graph.params[6].fan_in, 40);
    assert_int_equal(graph.params[6].dims[1], 40);
    assert_int_equal(graph.params[6].offset, 60);
    graph_param_name(&graph, 6, name);
    assert_string_equal(name, "u01.n003.kernel");
    assert_int_equal(graph.plan_bytes_fixed, 4 * (graph.trained_count * 6 + 4));
    assert_int_equal(graph.plan_bytes_per_image, 8 * (60 + 40 + 40 + 10));
    graph_fini(&graph);
}

static void add_macro_node(struct net *net, const int32_t *inputs)
{
    struct phenotype_unit *unit = add_conv(net, 64, 3, 1, PHENOTYPE_SAME, inputs);

    unit->conv.filters_mult = 4;
    unit->conv.activation = PHENOTYPE_RELU;
    unit->conv.act_position = PHENOTYPE_PRE_CONV;
    unit->conv.bn = PHENOTYPE_BN_PRE;
}

static void add_transition(struct net *net, enum phenotype_pooling pooling, uint32_t kernel,
                           uint32_t stride, int32_t input)
{
    struct phenotype_unit *unit = add_conv(net, 128, 1, 1, PHENOTYPE_VALID, FROM(input));

    unit->kind = PHENOTYPE_POOL;
    unit->conv.activation = PHENOTYPE_RELU;
    unit->conv.bn = PHENOTYPE_BN_MID;
    unit->pool.pooling = pooling;
    unit->pool.kernel = kernel;
    unit->pool.stride = stride;
}

/* The NSGA-Net seed of the specification (h): units are one higher than there (the stem is 0). */
static void make_nsga_seed(struct net *net)
{
    net_begin(net, 3, 32, 32);
    add_conv(net, 128, 3, 1, PHENOTYPE_VALID, FROM(-1));
    add_macro_node(net, FROM(0));
    add_macro_node(net, FROM(1));
    add_macro_node(net, FROM(0));
    add_macro_node(net, FROM(2));
    add_macro_node(net, FROM(2, 3, 4));
    add_macro_node(net, FROM(1, 4, 5));
    add_transition(net, PHENOTYPE_MAX_POOL, 2, 2, 6);
    add_macro_node(net, FROM(7));
    add_macro_node(net, FROM(7));
    add_macro_node(net, FROM(7));
    add_macro_node(net, FROM(9));
    add_macro_node(net, FROM(9, 11));
    add_macro_node(net, FROM(8, 9, 10, 11, 12));
    add_transition(net, PHENOTYPE_MAX_POOL, 2, 2, 13);
    add_macro_node(net, FROM(14));
    add_macro_node(net, FROM(14));
    add_macro_node(net, FROM(16));
    add_macro_node(net, FROM(15, 17));
    add_macro_node(net, FROM(15, 17, 18));
    add_macro_node(net, FROM(15, 18, 19));
    add_transition(net, PHENOTYPE_AVG_POOL, 7, 1, 20);
    add_fc(net, 10, FROM(21));
}

static void test_graph__nsga_seed_has_its_published_size(void **state)
{
    struct net net;
    struct nero_err err;
    struct graph graph;

    (void)state;
    make_nsga_seed(&net);
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_OK);
    assert_int_equal(graph.trained_count, 3337482);
    assert_int_equal(graph.trained_count + graph.stat_count, 3352458); /* Keras count_params */
    assert_int_equal(graph.macs, 1290402560);                          /* 1,290 M at 30, 15, 7 */
    graph_fini(&graph);
}

/* Counts that do not fit are refused, never wrapped. */
static void test_graph__overflow_is_too_big(void **state)
{
    struct net net;
    struct nero_err err;
    struct graph graph;
    struct phenotype_unit *unit;

    (void)state;
    net_begin(&net, 3, 1024, 1024);
    unit = add_conv(&net, 65536, 1, 1, PHENOTYPE_SAME, FROM(-1));
    add_fc(&net, 10, FROM(0));
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_TOO_BIG); /* flattened */
    unit->conv.filters_mult = 65536;
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_TOO_BIG);
    net_begin(&net, 3, 64, 64);
    add_conv(&net, UINT32_MAX, 32767, 1, PHENOTYPE_SAME, FROM(-1));
    add_conv(&net, UINT32_MAX, 1, 64, PHENOTYPE_SAME, FROM(0));
    add_fc(&net, 10, FROM(1));
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_TOO_BIG);
}

/* No classifier, or a field that the construction relies on: invalid, nothing is left behind. */
static void test_graph__refuses_unsound_units(void **state)
{
    struct net net;
    struct nero_err err;
    struct graph graph;

    (void)state;
    net_begin(&net, 3, 8, 8);
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_INVALID);
    add_conv(&net, 4, 3, 1, PHENOTYPE_SAME, FROM(-1));
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_INVALID);
    add_fc(&net, 9, FROM(0));
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_INVALID);
    net.units[1].fc_units = 10;
    net.units[0].inputs[0] = 1;
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_INVALID);
    net.units[0].inputs[0] = -1;
    net.units[0].conv.stride = 0;
    assert_int_equal(graph_build(&net.phenotype, &graph, &err), NERO_INVALID);
}

/* The N-th allocation fails for N = 0, 1, ...: no_memory, no leak, until none fails. */
static void test_graph__every_allocation_may_fail(void **state)
{
    struct net net;
    struct nero_err err;
    struct graph graph;
    long skip = 0;

    (void)state;
    make_nsga_seed(&net);
    for (;; skip++) {
        enum nero_status status;
        int fired;

        mem_fail_plan(skip, 1);
        status = graph_build(&net.phenotype, &graph, &err);
        fired = mem_fail_plan(0, 0);
        if (fired == 0) {
            assert_int_equal(status, NERO_OK);
            graph_fini(&graph);
            break;
        }
        assert_int_equal(status, NERO_NO_MEMORY);
    }
    assert_true(skip > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph__invalid_first_unit_is_the_image),
        cmocka_unit_test(test_graph__invalid_middle_unit_is_its_predecessor),
        cmocka_unit_test(test_graph__invalid_last_units_follow_the_chain),
        cmocka_unit_test(test_graph__merge_of_aliases_reads_predecessor),
        cmocka_unit_test(test_graph__merge_over_two_transitions),
        cmocka_unit_test(test_graph__same_valid_stride_shapes),
        cmocka_unit_test(test_graph__block_order),
        cmocka_unit_test(test_graph__parameter_table),
        cmocka_unit_test(test_graph__nsga_seed_has_its_published_size),
        cmocka_unit_test(test_graph__overflow_is_too_big),
        cmocka_unit_test(test_graph__refuses_unsound_units),
        cmocka_unit_test(test_graph__every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

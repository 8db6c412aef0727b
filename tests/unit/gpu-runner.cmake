nero_test(test_dataset SOURCES test_dataset.c ../support/small_cifar.c LINK nero_engine LABEL quick)

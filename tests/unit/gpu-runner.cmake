nero_test(test_dataset SOURCES test_dataset.c ../support/small_cifar.c LINK nero_engine LABEL quick)
nero_test(test_attack SOURCES test_attack.c LINK nero_engine LABEL quick)
nero_test(test_net SOURCES test_net.c LINK nero_engine LABEL quick)

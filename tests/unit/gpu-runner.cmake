nero_test(test_dataset SOURCES test_dataset.c ../support/small_cifar.c LINK nero_engine LABEL quick)
nero_test(test_attack SOURCES test_attack.c LINK nero_engine LABEL quick)
nero_test(test_net SOURCES test_net.c LINK nero_engine LABEL "quick;threads")
nero_test(test_train_meta SOURCES test_train_meta.c LINK nero_engine LABEL quick)
nero_test(test_train_schedule SOURCES test_train_schedule.c ../support/tiny_net.c
  LINK nero_engine LABEL quick)
nero_test(test_curve SOURCES test_curve.c ../support/small_cifar.c ../support/tiny_net.c
  LINK nero_engine LABEL quick)
nero_test(test_trainer
  SOURCES test_trainer.c ../support/evaluation.c ../support/small_cifar.c ../support/tiny_net.c
  LINK nero_engine LABEL quick)
nero_test(test_onnx SOURCES test_onnx.c ../support/onnx_eval.c ../backend/networks.c
  LINK nero_engine LABEL quick)

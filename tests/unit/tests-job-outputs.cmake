unit_test(options job)
unit_test(job job)
unit_test(outputs outputs)
unit_test(recent outputs)

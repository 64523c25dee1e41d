# The tests of broker/.
unit_test(roster broker)
unit_test(store broker)
unit_test(broker_run broker)
unit_test(courier broker)
unit_test(broker_options broker)

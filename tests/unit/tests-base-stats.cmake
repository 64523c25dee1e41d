# The tests of base/ and stats/.
unit_test(text base)
unit_test(wire base stats)
unit_test(histogram stats)
unit_test(table stats)
unit_test(stats stats)
unit_test(delta stats)
unit_test(series stats)

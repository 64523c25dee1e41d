# The tests of agent/.
unit_test(outbox agent)
unit_test(tree agent)
unit_test(cache agent)
unit_test(remover agent)
unit_test(workplace agent)

# The tests of proto/ for the cluster.
unit_test(bundle proto)
unit_test(cluster proto)
unit_test(facts proto)
target_compile_definitions(test_cluster PRIVATE
                           PROTO_README="${PROJECT_SOURCE_DIR}/proto/README.md")

# The layers base and tensor with the checks of the kernels, for a CPU that only a cross compiler and an emulator know.
find_package(Threads REQUIRED)
file(GLOB NLP_KERNEL_SOURCES CONFIGURE_DEPENDS core/base/*.c core/tensor/*.c)
list(FILTER NLP_KERNEL_SOURCES EXCLUDE REGEX "_tmpl\\.c$|/(utf8|uuid|gemm_openblas)\\.c$") # the last three need libraries
add_library(nlp_kernels STATIC ${NLP_KERNEL_SOURCES})
nlp_add_isa_sources(nlp_kernels)
target_include_directories(nlp_kernels PUBLIC include core)
target_link_libraries(nlp_kernels PRIVATE nlp_warnings PUBLIC Threads::Threads m)

file(GLOB NLP_CHECK_SOURCES CONFIGURE_DEPENDS tests/kernels/check_*.c)
list(FILTER NLP_CHECK_SOURCES EXCLUDE REGEX "check_openblas")
foreach(source ${NLP_CHECK_SOURCES})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source} tests/support/test.c)
  target_include_directories(${name} PRIVATE tests/support)
  target_compile_definitions(${name} PRIVATE NLP_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/tests/data")
  target_link_libraries(${name} PRIVATE nlp_warnings nlp_kernels -static)
  target_compile_options(${name} PRIVATE -fno-tree-vectorize) # gcc 12 for AArch64 fails over loops of a check
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()

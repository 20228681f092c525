# Warnings, hardening and floating-point flags of our own code; foreign headers come in by -isystem.
add_library(nlp_warnings INTERFACE)
target_compile_options(nlp_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wvla -Wstrict-prototypes
  -Wmissing-prototypes -Wundef -Wpointer-arith $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
  -fno-math-errno -ffp-contract=off -fstack-protector-strong
  $<$<CONFIG:Release>:-O3>)
target_compile_definitions(nlp_warnings INTERFACE _GNU_SOURCE)
if(NLP_WERROR)
  target_compile_options(nlp_warnings INTERFACE -Werror)
endif()
if(NOT NLP_SANITIZE) # a sanitizer has its own checks of the same calls
  target_compile_options(nlp_warnings INTERFACE $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
endif()
if(NLP_SANITIZE)
  add_compile_options(-fsanitize=${NLP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${NLP_SANITIZE})
endif()
if(NLP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
add_link_options(-Wl,-z,now,-z,relro)

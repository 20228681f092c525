# One kernel source -> one object per ISA level. The rest of the build has no -m flag: the binary runs on any CPU and
# chooses at run time.
function(nlp_add_isa_sources target)
endfunction()

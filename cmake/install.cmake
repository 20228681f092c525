# What `cmake --install` puts where. Components: runtime (command line, models), development (headers, libraries to link), and from their own
# folders sqlite (LIBDIR/nlp/nlp.so) and postgresql (the folders that pg_config names).
install(TARGETS nlp RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
file(GLOB NLP_MODEL_FILES CONFIGURE_DEPENDS models/*.nlp models/*.json models/*.md)
install(FILES ${NLP_MODEL_FILES} DESTINATION ${CMAKE_INSTALL_DATADIR}/nlp/models COMPONENT runtime)
install(FILES include/nlp.h include/nlp_plugin.h include/nlp_search.h include/nlp_sqlite.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

# PostgreSQL by pg_config: folders and a module target. PG_CONFIG chooses the server.
set(PG_CONFIG "" CACHE FILEPATH "pg_config of the server to build for")
find_program(PG_CONFIG_FOUND NAMES pg_config PATHS /usr/lib/postgresql/18/bin /usr/lib/postgresql/17/bin
             /usr/lib/postgresql/16/bin /usr/lib/postgresql/15/bin)
if(NOT PG_CONFIG)
  set(PG_CONFIG ${PG_CONFIG_FOUND})
endif()
if(NOT PG_CONFIG)
  message(FATAL_ERROR "pg_config not found: apt install postgresql-server-dev-15, or give -DPG_CONFIG=")
endif()
foreach(what INCLUDEDIR-SERVER PKGLIBDIR SHAREDIR VERSION)
  string(TOLOWER ${what} option)
  execute_process(COMMAND ${PG_CONFIG} --${option} OUTPUT_VARIABLE PG_${what} OUTPUT_STRIP_TRAILING_WHITESPACE
                  COMMAND_ERROR_IS_FATAL ANY)
endforeach()

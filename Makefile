# PostgreSQL habits over CMake:
#   make [PG_CONFIG=/path/to/pg_config] [PREFIX=/usr/local]
#   make install [DESTDIR=/staging]
#   make installcheck      against the running server that PGHOST, PGPORT and PGUSER name; needs the models minilm and sentiment
PREFIX ?= /usr/local
PG_CONFIG ?= pg_config
BUILD ?= build/make
PG_REGRESS = $(dir $(shell $(PG_CONFIG) --pgxs))../test/regress/pg_regress

all:
	cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DPG_CONFIG=$(shell command -v $(PG_CONFIG))
	cmake --build $(BUILD) -j $(shell nproc)

install: all
	DESTDIR=$(DESTDIR) cmake --install $(BUILD)

installcheck:
	$(PG_REGRESS) --inputdir=tests/pg/regress --outputdir=$(BUILD) --bindir=$(shell $(PG_CONFIG) --bindir) \
		--dbname=nlp_regress --load-extension=nlp overloads

clean:
	rm -rf $(BUILD)

.PHONY: all install installcheck clean

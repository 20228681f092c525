/* families.h: the names of the tables of this folder; the list is in family.c. */
#ifndef NLP_IMPORTER_FAMILIES_H
#define NLP_IMPORTER_FAMILIES_H

#include "family.h"

extern const nlp_family nlp_family_bert;

#endif

#pragma once
#include_next <stdio.h>
FILE	   *popen(const char *, const char *);
int			pclose(FILE *);

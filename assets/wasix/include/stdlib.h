#pragma once
#include_next <stdlib.h>
int			system(const char *);
int			mkstemp(char *);
char	   *mkdtemp(char *);

// As in <locale.h> beside this.
extern "C" {
#include_next <sys/stat.h>
}

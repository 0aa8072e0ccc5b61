// The headers of assets/wasix/include are C's, and what they declare has to be so in C++ too.
extern "C" {
#include_next <locale.h>
}

/* The programs of bench/programs.py, flat 32-bit code without a library: u32 name(u32 repeat, u32 *memory), 1 MB of numbers. */
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
#define N 4096

u32 hash_fnv(u32 repeat, u32 *p) {
    u32 h = 2166136261u;
    u8 *s = (u8 *)p;
    while (repeat--) for (u32 i = 0; i < 4 * N; i++) h = (h ^ s[i]) * 16777619u;
    return h;
}

u32 crc32_table(u32 repeat, u32 *p) {
    u32 *table = p + 2 * N, c = ~0u;
    for (u32 i = 0; i < 256; i++) {
        u32 v = i;
        for (u32 k = 0; k < 8; k++) v = v & 1 ? v >> 1 ^ 0xEDB88320u : v >> 1;
        table[i] = v;
    }
    while (repeat--) for (u32 i = 0; i < 4 * N; i++) c = table[(c ^ ((u8 *)p)[i]) & 255] ^ c >> 8;
    return ~c;
}

u32 sieve(u32 repeat, u32 *p) {
    u8 *flags = (u8 *)(p + 2 * N);
    u32 n = 0;
    while (repeat--) {
        n = 0;
        for (u32 i = 0; i < 8192; i++) flags[i] = 1;
        for (u32 i = 2; i < 8192; i++) if (flags[i]) {
            n++;
            for (u32 k = i + i; k < 8192; k += i) flags[k] = 0;
        }
    }
    return n;
}

static __attribute__((noinline)) u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
u32 recursion(u32 repeat, u32 *p) {
    u32 x = 0;
    while (repeat--) x += fib(18);
    return x;
}

static __attribute__((noinline)) void quick(u32 *a, int lo, int hi) {
    while (lo < hi) {
        u32 pivot = a[(lo + hi) / 2];
        int i = lo, k = hi;
        while (i <= k) {
            while (a[i] < pivot) i++;
            while (a[k] > pivot) k--;
            if (i <= k) { u32 t = a[i]; a[i++] = a[k]; a[k--] = t; }
        }
        quick(a, lo, k);
        lo = i;
    }
}
u32 sorting(u32 repeat, u32 *p) {
    u32 *a = p + 2 * N, x = 0;
    while (repeat--) {
        for (u32 i = 0; i < N; i++) a[i] = p[i] ^ repeat;
        quick(a, 0, N - 1);
        x += a[N / 2];
    }
    return x;
}

static __attribute__((noinline)) u32 f0(u32 x) { return x + 1; }
static __attribute__((noinline)) u32 f1(u32 x) { return x ^ x >> 3; }
static __attribute__((noinline)) u32 f2(u32 x) { return x * 5; }
static __attribute__((noinline)) u32 f3(u32 x) { return x << 1 | x >> 31; }
u32 function_pointers(u32 repeat, u32 *p) {
    u32 (*volatile table[4])(u32) = {f0, f1, f2, f3};
    u32 x = 1;
    while (repeat--) for (u32 i = 0; i < N; i++) x = table[p[i] >> 7 & 3](x);
    return x;
}

u32 pointer_chasing(u32 repeat, u32 *p) {
    u32 **next = (u32 **)(p + 2 * N), **at;
    for (u32 i = 0; i < N; i++) next[i * 5 & (N - 1)] = (u32 *)&next[(i + 1) * 5 & (N - 1)];
    at = next;
    while (repeat--) for (u32 i = 0; i < N; i++) at = (u32 **)*at;
    return at - next;
}

u32 byte_loop(u32 repeat, u32 *p) {
    u8 *a = (u8 *)p, *b = (u8 *)(p + 2 * N);
    u32 n = 0;
    while (repeat--) for (u32 i = 0; i < 4 * N; i++) { u8 c = a[i]; b[i] = c >= 'a' && c <= 'z' ? c - 32 : c; n += c == ' '; }
    return n;
}

u32 word_loop(u32 repeat, u32 *p) {
    u16 *a = (u16 *)p, s = 0;
    while (repeat--) for (u32 i = 0; i < 2 * N; i++) s = (s << 3) + (a[i] ^ s >> 5);
    return s;
}

u32 interpreter(u32 repeat, u32 *p) {
    static const u8 program[] = {0, 3, 1, 4, 2, 1, 3, 5, 4, 2, 0, 5, 1, 6, 3, 0, 2, 4, 7};
    u32 a = 1, b = 2, c = 3, turns = repeat * 512;
    const u8 *pc = program;
    for (;;) switch (*pc++) {
        case 0: a += b; break;
        case 1: b ^= a << 2; break;
        case 2: c -= a; break;
        case 3: a = a >> 1 | a << 31; break;
        case 4: p[N + (c & 255)] = b; break;
        case 5: b += p[N + (a & 255)]; break;
        case 6: c ^= b; break;
        default: if (!--turns) return a ^ b ^ c; pc = program;
    }
}

u32 string_instructions(u32 repeat, u32 *p) {
    u32 n = 0;
    while (repeat--) {
        void *to = p + 2 * N, *from = p;
        u32 count = N, value = repeat;
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        to = p + 4 * N, count = N;
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
        to = p + 4 * N, count = 256;
        __asm__ volatile("repe scasl" : "+D"(to), "+c"(count) : "a"(value) : "cc");
        n += count + p[4 * N];
    }
    return n;
}

u32 matrix(u32 repeat, u32 *p) {
    u32 *a = p, *b = p + 1024, *c = p + 2 * N;
    while (repeat--)
        for (u32 i = 0; i < 32; i++)
            for (u32 k = 0; k < 32; k++) {
                u32 s = 0;
                for (u32 m = 0; m < 32; m++) s += a[32 * i + m] * b[32 * m + k];
                c[32 * i + k] = s;
            }
    return c[33];
}

u32 bit_counting(u32 repeat, u32 *p) {
    u32 n = 0;
    while (repeat--) for (u32 i = 0; i < N; i++) { u32 x = p[i]; while (x) { x &= x - 1; n++; } }
    return n;
}

u32 long_arithmetic(u32 repeat, u32 *p) {
    unsigned long long x = 1, y = 0x123456789ull;
    while (repeat--) for (u32 i = 0; i < N; i++) { x = x * 6364136223846793005ull + p[i]; y += x >> 33 | y << 7; }
    return x ^ y ^ y >> 32;
}

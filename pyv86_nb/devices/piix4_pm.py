"""Intel 82371AB (PIIX4) power management, function 3.   Data sheet 290562-001, chapter 11; ACPI Specification 1.0, section 4.7.

    PMBASE +00h PM1_STS   15 WAK  11 RSM  10 RTC  8 PWRBTN  5 GBL  4 BM  0 TMROF       1 clears
           +02h PM1_EN                    10 RTC  8 PWRBTN  5 GBL        0 TMROF       SCI = any enabled status, and SCI_EN
           +04h PM1_CNT   13 SLP_EN  12-10 SLP_TYP  2 GBL_RLS  1 BRLD_EN_BM  0 SCI_EN
           +08h PM_TMR    24 bits at 3.579545 MHz; TMROF_STS when bit 23 turns over (every 2.34 s)
           +0Ch GPSTS     +0Eh GPEN        +10h.. PCNTRL, GLBSTS, DEVSTS, GLBEN, GLBCTL, DEVCTL, GPI, GPO: stored

    PMBASE (configuration 40h) and PMREGMISC bit 0 (80h) say where; the board moves the ports on REMAP.
    The general-purpose events are also offered as a block of their own (bank "gpe", AFE0h), the address in the tables of PC firmware.
    APMC, APMS (bank "apm", B2h, B3h): a byte to APMC asks SMI firmware; here F1h and F0h switch SCI_EN, as that firmware would.

Nothing ticks: the timer is a function of time, TMROF_STS is "has the boundary passed?", and a deadline stands only while TMROF_EN wants an SCI.
DEVACTB (58h) shows APMC_EN as already set: SMM is said to be initialised, so firmware leaves it alone.

Not emulated: SMI and SMM, the SMBus (base and enable are stored), suspend states other than soft off (SLP_TYP 0), device idle timers,
clock throttling, battery and thermal pins.
"""
from .chip import NEVER, Chip, buffer, deadline, field, keep, kernel, pin_out, pins_in, reads, writes
from .clock import instant, ticks
from .pci import Header

HZ = 3_579_545
PMBASE, PMREGMISC, SMBBASE = 0x40, 0x80, 0x90
TMROF, PWRBTN, WAK = 1, 1 << 8, 1 << 15
STATUS, ENABLES = 0x8D31, 0x0521                         # bits that exist
ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0

HEADER = Header(
    0x8086, 0x7113, 0x068000, 3, command=0, command_mask=0x0001, status=0x0280, subsystem=(0x1AF4, 0x1100), pin=1,
    registers={PMBASE: (0x01, 0xC0), PMBASE + 1: (0, 0xFF), **{0x44 + i: (0, 0xFF) for i in range(23)}, 0x5B: (0x02, 0xFF),
               **{0x5C + i: (0, 0xFF) for i in range(3)}, 0x5F: (0x00, 0xFF), **{0x60 + i: (0, 0xFF) for i in range(7)},
               0x63: (0x60, 0xFF), 0x67: (0x98, 0xFF), **{0x68 + i: (0, 0xFF) for i in range(20)}, PMREGMISC: (0, 0x01),
               SMBBASE: (0x01, 0xF0), SMBBASE + 1: (0, 0xFF), 0xD2: (0, 0x0F), 0xD3: (0, 0xFF), 0xD4: (0, 0xFF), 0xD5: (0, 0xFF)},
    remaps=(PMBASE, PMBASE + 1, PMREGMISC))


@kernel
def look(pm, now):
    """Latch TMROF_STS if the timer has turned over since the last look."""
    t = ticks(now, HZ, pm.ips)
    if t >= pm.turn:
        pm.sts |= TMROF
        pm.turn = (t | 0x7FFFFF) + 1


@kernel
def update(pm, now):
    """SCI, and when it may rise next by itself."""
    look(pm, now)
    wanted = pm.sts & pm.en or pm.gpsts & pm.gpen
    pm.SCI = 1 if pm.cnt & 1 and wanted else 0
    pm.overflow = instant(pm.turn, HZ, pm.ips) if pm.en & TMROF and pm.sts & TMROF == 0 else NEVER


@kernel
def get(pm, at, now):
    """The byte at offset `at` of the block."""
    if at < 2:
        look(pm, now)
        return pm.sts >> 8 * at & 255
    if at < 4: return pm.en >> 8 * (at - 2) & 255
    if at < 6: return pm.cnt >> 8 * (at - 4) & 255
    if at < 8: return 0
    if at < 12: return (ticks(now, HZ, pm.ips) & 0xFFFFFF) >> 8 * (at - 8) & 255
    if at < 14: return pm.gpsts >> 8 * (at - 12) & 255
    if at < 16: return pm.gpen >> 8 * (at - 14) & 255
    return pm.other[at] + 0


@kernel
def put(pm, at, v, now):
    look(pm, now)
    if at < 2: pm.sts &= ~(v << 8 * at)
    elif at < 4: pm.en = (pm.en & ~(255 << 8 * (at - 2)) | v << 8 * (at - 2)) & ENABLES
    elif at == 4: pm.cnt = pm.cnt & 0x1C00 | v & 3       # GBL_RLS reads as 0
    elif at == 5:
        pm.cnt = pm.cnt & 3 | (v & 0x1C) << 8            # SLP_EN reads as 0
        if v & 0x20 and v & 0x1C == 0: pm.POWEROFF = 1
    elif at < 12: return                                 # the timer is read only
    elif at < 14: pm.gpsts &= ~(v << 8 * (at - 12))
    elif at < 16: pm.gpen = pm.gpen & ~(255 << 8 * (at - 14)) | v << 8 * (at - 14)
    else: pm.other[at] = v
    update(pm, now)


def read_port(at, bank="pm", offset=None):
    """A byte of the block.  Only the timer's are compiled: the others are asked for a few times a boot."""
    @reads(at if offset is None else offset, f"power management block, byte {at:02X}h", bank=bank)
    def read(pm, now): return get(pm, at, now)
    return kernel(read) if 8 <= at < 12 else read


def write_port(at, bank="pm", offset=None):
    @writes(at if offset is None else offset, f"power management block, byte {at:02X}h", bank=bank)
    def write(pm, v, now): put(pm, at, v, now)
    return write


class Piix4Pm(Chip):
    """82371AB power management: ACPI timer, events, soft off"""
    PWRBTN = pins_in(1, "power button (active low on the chip, high here)")
    SCI = pin_out("system control interrupt, to IRQ9")
    POWEROFF = pin_out("SLP_EN with SLP_TYP 0: the supply goes off")
    sts = field(16, "PM1_STS", names="WAK:15 RSM:11 RTC:10 PWRBTN_STS:8 GBL:5 BM:4 TMROF:0")
    en = field(16, "PM1_EN", names="RTC_EN:10 PWRBTN_EN:8 GBL_EN:5 TMROF_EN:0")
    cnt = field(16, "PM1_CNT", names="SLP_TYP:12-10 BRLD:1 SCI_EN:0")
    gpsts = field(16, "GPSTS")
    gpen = field(16, "GPEN")
    other = buffer(64, "the rest of the block as written, by offset")
    apmc = field(8, "APMC: last command (B2h)")
    apms = field(8, "APMS: status byte (B3h)")
    turn = field(63, "timer tick at which bit 23 turns over next", keep(1 << 23))
    overflow = deadline("TMROF_STS, while it is enabled and clear")
    ips = field(63, "instructions per guest second", keep(0))
    header = HEADER

    @staticmethod
    def base(config):
        """Where the block is by this configuration space: a port, or None while PMREGMISC disables it."""
        at = int.from_bytes(config[PMBASE:PMBASE + 2], "little") & 0xFFC0
        return at if config[PMREGMISC] & 1 and at else None

    @PWRBTN.changed
    @kernel
    def button(pm, n, level, now):
        if level: pm.sts |= PWRBTN
        update(pm, now)

    @overflow.due
    @kernel
    def turned(pm, now): update(pm, now)

    # PORTS: the block, from PMBASE
    @reads(8, "PM_TMR, all of it", bank="pm", size=4)
    @kernel
    def timer(pm, now): return ticks(now, HZ, pm.ips) & 0xFFFFFF

    for _at in range(64):
        locals()[f"read_{_at:02x}"], locals()[f"write_{_at:02x}"] = read_port(_at), write_port(_at)
    for _at in range(4):
        locals()[f"read_gpe{_at}"], locals()[f"write_gpe{_at}"] = read_port(12 + _at, "gpe", _at), write_port(12 + _at, "gpe", _at)

    @reads(0, "APMC", bank="apm")
    @kernel
    def get_apmc(pm, now): return pm.apmc

    @writes(0, "APMC: F1h enables ACPI (SCI_EN), F0h disables it", bank="apm")
    @kernel
    def set_apmc(pm, v, now):
        pm.apmc = v
        if v == ACPI_ENABLE: pm.cnt |= 1
        if v == ACPI_DISABLE: pm.cnt &= 0xFFFE
        update(pm, now)

    @reads(1, "APMS", bank="apm")
    @kernel
    def get_apms(pm, now): return pm.apms

    @writes(1, "APMS", bank="apm")
    @kernel
    def set_apms(pm, v, now): pm.apms = v

//go:build !purego

#include "textflag.h"

// func Lines(b []byte)
TEXT ·Lines(SB), NOSPLIT, $0-24
	MOVQ b_base+0(FP), AX
	MOVQ b_len+8(FP), BX
	ADDQ AX, BX
	ANDQ $~63, AX
	JMP  check

loop:
	PREFETCHT0 (AX)
	ADDQ $64, AX

check:
	CMPQ AX, BX
	JCS  loop
	RET

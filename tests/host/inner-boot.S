/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The operating system of the guests inside the emulated host: one boot sector.
 *
 * A hot-unplugged PCI device stays until the guest's operating system ejects it. This
 * operating system only ejects devices, needs no memory and boots at once. QEMU's
 * interface, docs/specs/acpi_pci_hotplug: 4-byte registers from 0x0cc0 on a q35 machine
 * (0xae00 on pc): +4 the slots requested for removal ("down"), +8 eject, +0x10 bus select.
 */
  .equ BASE, 0x0cc0
  .equ DOWN, BASE + 4
  .equ EJECT, BASE + 8
  .equ SELECT, BASE + 0x10
  .equ BUSES, 32

  .code16
  .globl _start
_start:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %ss
  movw $0x7c00, %sp
  sti
look:
  hlt                       /* until the next tick of the BIOS timer, 55 ms */
  xorl %ebx, %ebx
bus:
  movw $SELECT, %dx
  movl %ebx, %eax
  outl %eax, %dx
slot:
  movw $DOWN, %dx
  inl %dx, %eax
  testl %eax, %eax
  jz next
  incl %eax
  jz look                   /* all ones: no such registers */
  decl %eax
  movl %eax, %ecx
  negl %ecx
  andl %ecx, %eax           /* one slot at a time, the lowest bit */
  movw $EJECT, %dx
  outl %eax, %dx
  jmp slot
next:
  incl %ebx
  cmpl $BUSES, %ebx
  jb bus
  jmp look

  .org 510
  .word 0xaa55

CREATE TABLE `changes` (
	`revision` integer NOT NULL,
	`noun` text NOT NULL,
	`name` text NOT NULL,
	`before` text,
	`after` text,
	PRIMARY KEY(`revision`, `noun`, `name`),
	FOREIGN KEY (`revision`) REFERENCES `revisions`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `changes_thing` ON `changes` (`noun`,`name`);--> statement-breakpoint
CREATE TABLE `image_versions` (
	`image` text NOT NULL,
	`number` integer NOT NULL,
	`digest` text NOT NULL,
	`manifest` text NOT NULL,
	`source` text NOT NULL,
	`author` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`image`, `number`),
	FOREIGN KEY (`image`) REFERENCES `images`(`name`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `image_versions_digest` ON `image_versions` (`digest`);--> statement-breakpoint
CREATE TABLE `images` (
	`name` text PRIMARY KEY NOT NULL,
	`current` integer,
	`newest` integer NOT NULL,
	`revision` integer NOT NULL,
	`changed_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `netdevs` (
	`node` text NOT NULL,
	`name` text NOT NULL,
	`mac` text,
	`address` text,
	`address6` text,
	PRIMARY KEY(`node`, `name`),
	FOREIGN KEY (`node`) REFERENCES `nodes`(`name`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `netdevs_mac` ON `netdevs` (`mac`);--> statement-breakpoint
CREATE UNIQUE INDEX `netdevs_address` ON `netdevs` (`address`);--> statement-breakpoint
CREATE UNIQUE INDEX `netdevs_address6` ON `netdevs` (`address6`);--> statement-breakpoint
CREATE TABLE `nodes` (
	`name` text PRIMARY KEY NOT NULL,
	`profiles` text NOT NULL,
	`settings` text NOT NULL,
	`revision` integer NOT NULL,
	`changed_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `overlay_contents` (
	`digest` text PRIMARY KEY NOT NULL,
	`content` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `overlay_versions` (
	`overlay` text NOT NULL,
	`number` integer NOT NULL,
	`digest` text NOT NULL,
	`manifest` text NOT NULL,
	`sources` text NOT NULL,
	`message` text NOT NULL,
	`author` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`overlay`, `number`),
	FOREIGN KEY (`overlay`) REFERENCES `overlays`(`name`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `overlays` (
	`name` text PRIMARY KEY NOT NULL,
	`current` integer NOT NULL,
	`revision` integer NOT NULL,
	`changed_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `profiles` (
	`name` text PRIMARY KEY NOT NULL,
	`profiles` text NOT NULL,
	`settings` text NOT NULL,
	`revision` integer NOT NULL,
	`changed_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `revisions` (
	`id` integer PRIMARY KEY NOT NULL,
	`at` integer NOT NULL,
	`author` text NOT NULL,
	`message` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `tokens` (
	`name` text PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`scope` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `tokens_hash` ON `tokens` (`hash`);